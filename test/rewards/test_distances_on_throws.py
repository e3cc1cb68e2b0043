"""Canonical forms on throws: the simulator as transition model, an end to every episode, known distances."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from irl_ros.rewards.distances import pearson_distance, standardised_distance
from irl_ros.rewards.distances.throws import (
    ThrowModel,
    canonical_forms,
    side_by_side,
    value_of_letting_go,
)
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.sim import BatchWorld, State, Throws, World

GAMMA = 0.97
DISTANCES = {"epic": pearson_distance, "dard": pearson_distance, "starc": standardised_distance}

Reward = Callable[[State, torch.Tensor, State], torch.Tensor]


def flat(states: State) -> State:
    return states.map(lambda x: x.flatten(0, 1))


@pytest.fixture(scope="module")
def few(thrown: Throws) -> Throws:
    """Ten throws, two of which never let go."""
    return thrown[slice(0, 10)]


def distances(reward: Reward, throws: Throws, world: World) -> dict[str, tuple[float, float]]:
    """Of the two rewards in `reward`: per step and per discounted sum."""
    forms = canonical_forms(reward, throws, world, GAMMA, 4, torch.Generator().manual_seed(1))
    discount = GAMMA ** torch.arange(world.horizon, dtype=torch.double)[:, None]
    found = {}
    for name, measure in DISTANCES.items():
        total = (discount * forms[name]).sum(1)
        step = measure(forms[name][..., 0], forms[name][..., 1])
        found[name] = step, measure(total[:, 0], total[:, 1])
    return found


def test_model_goes_on_from_any_state_as_the_throw_went(world: World, thrown: Throws) -> None:
    model = ThrowModel(world)
    here, after = flat(thrown.states[:, :-1]), flat(thrown.states[:, 1:])
    order = torch.randperm(len(here.phase), generator=torch.Generator().manual_seed(2))
    for some in (order[:700], order[700:]):  # two sizes of batch, times of the episode mixed
        stepped = model.step(here[some], thrown.actions.flatten(0, 1)[some])
        for field in dataclasses.fields(State):
            got, expected = getattr(stepped, field.name), getattr(after[some], field.name)
            torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_value_is_what_letting_go_brings_in_the_simulator(world: World, few: Throws) -> None:
    true = TrueReward(world)
    reward = side_by_side(lambda s, a: true(s), lambda s, a: torch.ones_like(s.phase))
    states = few.states[:, [0, 7, 30, 59, 60]]
    value = value_of_letting_go(reward, flat(states), ThrowModel(world), GAMMA).view(10, 5, 2)
    for i, t in enumerate((0, 7, 30, 59, 60)):
        simulator = BatchWorld(world)
        simulator.reset(few.states.target[:, t])
        simulator.state = few.states[:, t]
        still = torch.zeros(10, world.action_dim)
        still[:, -1] = 1.0
        earned = torch.zeros(10, dtype=torch.double)
        for k in range(60 - t):
            earned += GAMMA**k * true(simulator.state).double()
            simulator.step(still)
        torch.testing.assert_close(value[:, i, 0], earned, atol=1e-5, rtol=0)
        series = (1 - GAMMA ** (60 - t)) / (1 - GAMMA)
        torch.testing.assert_close(value[:, i, 1], torch.full((10,), series).double())


def test_scale_offset_and_shaping_do_not_count(world: World, few: Throws) -> None:
    """A potential of ball and arm, larger than the reward and 0 at the end of the episode."""
    true = TrueReward(world)

    def potential(s: State) -> torch.Tensor:
        x = torch.sin(9 * s.ball_position.double().sum(-1)) + s.q.double().square().sum(-1)
        return 5 * (1 - s.phase.double()) * x

    def both(sign: float) -> Reward:
        def of(s: State, a: torch.Tensor, after: State) -> torch.Tensor:
            plain = true(s).double()
            shaped = sign * 0.3 * plain + GAMMA * potential(after) - potential(s) + 2.0
            return torch.stack((plain, shaped), -1)

        return of

    for sign, expected in ((1.0, 0.0), (-1.0, 1.0)):
        for name, (step, total) in distances(both(sign), few, world).items():
            assert (step, total) == pytest.approx((expected, expected), abs=2e-3), name
    columns = both(1.0)(flat(few.states[:, :-1]), few.actions, flat(few.states[:, 1:]))
    assert pearson_distance(columns[:, 0], columns[:, 1]) > 0.3


def test_noise_is_unrelated(world: World, few: Throws) -> None:
    """Two rewards that are as good as random numbers: √½, within 5 / √(8K) (see test_distances)."""

    def noise(factor: float) -> Callable[[State, torch.Tensor], torch.Tensor]:
        def of(s: State, a: torch.Tensor) -> torch.Tensor:
            x = (s.q.double() * torch.arange(1, world.robot.n + 1)).sum(-1) + s.ball_position.double().sum(-1)
            return torch.remainder(factor * torch.sin(1e4 * x + s.phase), 1.0) - 0.5

        return of

    found = distances(side_by_side(noise(5e3), noise(7e3)), few, world)
    carried = int(few.states.held.sum())  # DARD and STARC see little else
    assert found["epic"][0] == pytest.approx(math.sqrt(0.5), abs=5 / math.sqrt(8 * 600))
    for name in ("dard", "starc"):
        assert found[name][0] == pytest.approx(math.sqrt(0.5), abs=5 / math.sqrt(8 * carried))


def test_what_rewards_of_the_ball_leave_to_compare(world: World, few: Throws) -> None:
    """EPIC: the states entered. DARD: nothing once the ball flies. STARC: the return over a baseline."""
    true = TrueReward(world)
    reward = side_by_side(lambda s, a: true(s), lambda s, a: s.landed.double())
    forms = canonical_forms(reward, few, world, GAMMA, 4, torch.Generator().manual_seed(1))
    entered = true(few.states[:, 1:]).double()
    centred = GAMMA * (entered - entered.mean())
    epic = forms["epic"][..., 0]
    torch.testing.assert_close(epic - epic.mean(), centred, atol=1e-5, rtol=0)
    flying = ~few.states.held[:, :-1]
    assert flying.any() and forms["dard"][flying].abs().max() < 1e-5
    assert forms["dard"][~flying].abs().max() > 1e-3
    discount = GAMMA ** torch.arange(world.horizon, dtype=torch.double)
    value = value_of_letting_go(reward, few.states[:, 0], ThrowModel(world), GAMMA)
    earned = (discount * true(few.states[:, :-1])).sum(1)
    advantages = (discount * forms["starc"][..., 0]).sum(1)
    torch.testing.assert_close(advantages, earned - value[:, 0], atol=1e-5, rtol=0)


def test_rewards_of_actions_are_asked_with_the_actions_taken(world: World, few: Throws) -> None:
    effort = side_by_side(lambda s, a: a[..., :-1].square().sum(-1), lambda s, a: s.phase)
    forms = canonical_forms(effort, few, world, GAMMA, 2, torch.Generator().manual_seed(1))
    # the arm held still costs nothing, so the advantage of an action is its effort
    expected = few.actions[..., :-1].double().square().sum(-1)
    torch.testing.assert_close(forms["starc"][..., 0], expected, atol=1e-6, rtol=1e-5)
