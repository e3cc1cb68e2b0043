"""The throw as a finite MDP: its throws against BatchWorld's, its sums against every one of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from irl_ros.errors import InputError
from irl_ros.irl.discrete_throw import DiscreteThrow, ThrowGridSettings, choose_targets, idle_hands
from irl_ros.irl.maxent import MaxEnt, MaxEntSettings, ascend, believe, soft_messages
from irl_ros.irl.swing_grid import SwingGridSettings, reaches, turning_joint
from irl_ros.irl.throw_bundle import Bundle, Rounding
from irl_ros.rewards.reward import Reward
from irl_ros.rewards.reward_net import RewardSettings
from irl_ros.rl.policy import Policy
from irl_ros.rl.task import Trajectories
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, State, Throws, World, load_world, throw

SMALL = ThrowGridSettings(
    targets=2, swings=SwingGridSettings(strengths=8, shapes=1, reaches=1, turns=(-0.1, 0.0, 0.1))
)


@pytest.fixture(scope="module")
def task(world: World, operator_throws: Throws) -> ThrowTask:
    policy = Policy(world)
    policy.observation.freeze(operator_throws.states)
    return ThrowTask(BatchWorld(world), policy.observation, Reward(world).features)


@pytest.fixture(scope="module")
def demonstrations(task: ThrowTask, operator_throws: Throws) -> Trajectories:
    return task.trajectories(operator_throws[:6])


@pytest.fixture(scope="module")
def discrete(task: ThrowTask, demonstrations: Trajectories) -> DiscreteThrow:
    """Nobody may change it."""
    torch.set_num_threads(1)
    return DiscreteThrow(task, demonstrations, SMALL)


@pytest.fixture(scope="module")
def bundles(discrete: DiscreteThrow) -> list[Bundle]:
    """Of both targets."""
    torch.set_num_threads(1)
    return [discrete.bundle(target) for target in discrete.targets]


def really_thrown(discrete: DiscreteThrow, c: int, k: list[int], u: list[int]) -> Throws:
    """Swings k let go in steps u, by BatchWorld itself."""
    target = discrete.targets[c]
    velocity = discrete.swings.towards(float(torch.atan2(target[1], target[0])))[k]
    release = torch.tensor(u)

    def act(state: State) -> Tensor:
        t = round(float(state.phase[0]) * discrete.task.horizon)
        return torch.cat((velocity[:, t], torch.where(t >= release, 1.0, -1.0)[:, None]), -1)

    return throw(BatchWorld(discrete.task.simulator.world), act, target.expand(len(k), 3))


# --- the throws of the grid are the world's ---


def test_every_trajectory_is_a_throw_of_the_world(
    discrete: DiscreteThrow, bundles: list[Bundle], task: ThrowTask
) -> None:
    generator = torch.Generator().manual_seed(0)
    k = torch.randint(len(discrete.swings), (60,), generator=generator).tolist()
    u = torch.randint(task.horizon + 1, (60,), generator=generator).tolist()
    u[:4] = [0, 1, task.horizon - 1, task.horizon]
    for c, bundle in enumerate(bundles):
        thrown = really_thrown(discrete, c, k, u)
        phi = task.features(thrown.states[:, :-1])
        rounded = discrete.rounding.features(bundle.code[:, k, u]).transpose(0, 1)
        assert float((rounded - phi).abs().max()) <= SMALL.resolution / 2 + 1e-4
        miss = bundle.miss[k, u]
        landed = miss.isfinite()
        assert bool((landed == thrown.states.landed[:, -1]).all())
        torch.testing.assert_close(miss[landed], thrown.outcome.error[landed], atol=1e-4, rtol=0)
        assert 10 < int(landed.sum()) < 60


def test_flights_are_runs_of_what_follows_a_release(discrete: DiscreteThrow, bundles: list[Bundle]) -> None:
    bundle = bundles[0]
    u, k, code, spent = bundle.flights()
    steps, swings = bundle.held.shape
    length = torch.zeros(steps, swings).index_put_((u, k), spent.float(), accumulate=True)
    assert bool((length == (steps - 1 - torch.arange(steps)).clamp_min(0)[:, None]).all())
    for row in (3, 25, 50):
        for swing in (0, swings // 2):
            mine = (u == row) & (k == swing)
            told = torch.repeat_interleave(code[mine], spent[mine])
            assert torch.equal(told, bundle.code[row + 1 :, swing, row])


def test_swings_go_where_they_are_sent(discrete: DiscreteThrow, world: World) -> None:
    grid = discrete.swings
    azimuth = 0.3
    position, velocity = grid.roll(azimuth)
    shape = grid.shapes[0]
    height = torch.zeros(len(grid))
    u = shape.release
    landing = discrete.bundle(torch.tensor([0.9, 0.0, 0.0]))  # any target: swings are the same
    assert landing.code.shape == (world.horizon, len(grid), world.horizon + 1)
    there = grid.simulator.flight.predicted_landing(position[:, u], velocity[:, u], height)
    there = there.unflatten(0, (8, 2, 3))[:, 0]  # strength × turn of the demonstrated shape
    found = torch.atan2(there[..., 1], there[..., 0])
    like = int((grid.strengths - 1).abs().argmin())
    torch.testing.assert_close(found[like], azimuth + torch.tensor(grid.settings.turns), atol=0.06, rtol=0)
    reached = there.norm(dim=-1)[:, 1]
    assert bool((reached.diff() > 0)[1:].all()), "stronger swings land further"


def test_reaches_carry_the_ball_over_the_ring_and_keep_it(world: World) -> None:
    simulator = BatchWorld(world)
    home = torch.as_tensor(world.home, dtype=torch.float32)
    start = (home, torch.zeros_like(home))
    velocity = reaches(simulator, start, 4)
    assert float(velocity.abs().max()) <= 1.0 + 1e-5
    state = simulator.reset(torch.zeros(4, 3), (home.expand(4, -1), torch.zeros(4, len(home))))
    for t in range(world.horizon):
        state = simulator.step(torch.cat((velocity[:, t], -torch.ones(4, 1)), -1))
    radius = state.ball_position[:, :2].norm(dim=-1)
    assert bool(((radius > 0.6) & (radius < 1.15)).all()) and float(state.qd.abs().max()) < 0.05
    assert float(state.ball_position[:, 2].max() - state.ball_position[:, 2].min()) > 0.2


def test_the_base_turns_and_only_where_it_can(world: World) -> None:
    home = torch.as_tensor(world.home, dtype=torch.float32)
    assert turning_joint(BatchWorld(world), home).tolist() == [1.0] + [0.0] * 6
    locked = load_world({"arm": {"locked": [world.robot.joints[0]]}})
    assert float(turning_joint(BatchWorld(locked), home)[0]) == 0.0


# --- the MDP's sums against all throws, written down ---


@pytest.fixture(scope="module")
def listed(discrete: DiscreteThrow, bundles: list[Bundle]) -> Tensor:
    """Cells that every throw visits, [C, K, T + 1, T]."""
    known = discrete.rounding.code(discrete.features)
    return torch.stack([torch.searchsorted(known, b.code) for b in bundles]).permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def idle() -> Tensor:
    """log q of letting go in step u = 0 … T − 1, or (T) never, for someone who wants nothing."""
    return torch.tensor([0.5 / 60] * 60 + [0.5], dtype=torch.float64).log()


def test_belief_and_visits_are_sums_over_all_throws(
    discrete: DiscreteThrow, listed: Tensor, bundles: list[Bundle], idle: Tensor
) -> None:
    g = torch.randn(len(discrete.features), generator=torch.Generator().manual_seed(1))
    found = believe(discrete, 0.3 * g)
    total = (0.3 * g)[listed].sum(-1).double() + idle  # returns and log q, [C, K, T + 1]
    total = total.flatten(1)
    belief = discrete.mdp.initial[:, None] * total.softmax(-1)
    visits = torch.zeros(len(g), dtype=torch.float64)
    weight = belief.reshape(listed.shape[:-1])[..., None].expand(listed.shape)
    visits.index_add_(0, listed.flatten(), weight.flatten())
    torch.testing.assert_close(found.visits.double(), visits, atol=1e-3, rtol=1e-3)
    log_z = (discrete.mdp.initial * total.logsumexp(-1)).sum()
    mine = 0.3 * g @ discrete.demonstrated - log_z
    assert found.log_likelihood == pytest.approx(float(mine), abs=1e-3)
    near = torch.stack([b.miss <= 0.3 for b in bundles]).flatten(1)
    assert discrete.hit_rate(found.marginals, 0.3) == pytest.approx(float((belief * near).sum()), abs=1e-4)


def test_idle_hands_let_go_at_any_time_or_never(idle: Tensor) -> None:
    hold, release = idle_hands(60, never=0.5).double().unbind(-1)
    kept = torch.cat((torch.zeros(1), hold.cumsum(0)))
    torch.testing.assert_close(kept[:-1] + release, idle[:-1], atol=1e-5, rtol=0)
    assert float(kept[-1]) == pytest.approx(math.log(0.5), abs=1e-5)


def test_visits_are_the_transpose_of_rewards(discrete: DiscreteThrow) -> None:
    generator = torch.Generator().manual_seed(2)
    g = torch.randn(len(discrete.features), generator=generator)
    rewards, nothing = discrete.rewards(g), discrete.rewards(torch.zeros(len(g)))
    marginals = [torch.rand(r.shape, generator=generator) for r in rewards]
    paid = sum(float((mu * (r - n)).sum()) for mu, r, n in zip(marginals, rewards, nothing))
    assert float(discrete.visits(marginals) @ g) == pytest.approx(paid, rel=1e-4)


def test_every_belief_spends_the_whole_horizon(discrete: DiscreteThrow) -> None:
    messages = soft_messages(discrete.mdp, discrete.rewards(torch.zeros(len(discrete.features))))
    visits = discrete.visits([mu.exp() for mu in messages.log_marginals])
    assert float(visits.sum()) == pytest.approx(60, rel=1e-4)
    assert float(discrete.demonstrated.sum()) == pytest.approx(60, rel=1e-5)


# --- demonstrations in it ---


def test_a_throw_of_the_grid_is_mapped_to_itself(discrete: DiscreteThrow, bundles: list[Bundle]) -> None:
    k, u = [5, 20, 40, 11], [20, 31, 45, 60]
    thrown = really_thrown(discrete, 1, k, u)
    phi = discrete.task.features(thrown.states[:, :-1])
    for i in range(4):
        found = bundles[1].nearest(phi[i], discrete.rounding)
        assert torch.equal(bundles[1].code[:, found[0], found[1]], bundles[1].code[:, k[i], u[i]])


def test_what_stands_for_a_demonstration_is_close_and_the_distance_is_reported(
    task: ThrowTask, demonstrations: Trajectories, operator_throws: Throws
) -> None:
    finer = ThrowGridSettings(targets=6, swings=SwingGridSettings(strengths=12, shapes=2, reaches=0))
    discrete = DiscreteThrow(task, demonstrations, finer)
    c, k, u = discrete.mapped.unbind(-1)
    torch.testing.assert_close(discrete.targets[c], operator_throws.states.target[:6, 0], atol=1e-5, rtol=0)
    miss = discrete.miss[c * len(discrete.swings) + k, u]
    apart = (miss - operator_throws.outcome.error[:6]).abs()
    assert discrete.figures["discretisation_miss_m"] == pytest.approx(float(apart.mean()), abs=1e-4)
    assert float(apart.mean()) < 0.03
    opens = (operator_throws.actions[:6, :, -1] > 0).float().argmax(1)
    late = float((u - opens).abs().float().mean()) * 0.02
    assert discrete.figures["discretisation_release_s"] == pytest.approx(late, abs=1e-6)
    assert late < 0.05


def test_of_many_targets_those_evenly_over_the_distance_are_kept() -> None:
    targets = torch.stack((torch.linspace(1.1, 0.7, 41), torch.zeros(41), torch.zeros(41)), -1)
    chosen, nearest = choose_targets(targets, 5)
    torch.testing.assert_close(targets[chosen][:, 0], torch.linspace(0.7, 1.1, 5))
    assert float((targets[chosen][nearest] - targets).norm(dim=-1).max()) < 0.0501
    assert len(choose_targets(targets[:3], 5)[0]) == 3


def test_rounding_can_be_undone() -> None:
    features = 2 * torch.rand(100, 7, generator=torch.Generator().manual_seed(3)) - 1
    features[0], features[1] = 1.0, -1.0
    rounding = Rounding(0.05, 7)
    back = rounding.features(rounding.code(features))
    assert float((back - features).abs().max()) <= 0.025 + 1e-5
    with pytest.raises(ValueError, match="too fine for 7"):
        Rounding(0.001, 7)


# --- the algorithm ---


@pytest.fixture
def learner_of(world: World, task: ThrowTask, demonstrations: Trajectories) -> Callable[..., MaxEnt]:
    def make(inputs: str = "state", **changes: object) -> MaxEnt:
        torch.manual_seed(3)
        reward = Reward(world, RewardSettings(inputs=inputs, hidden=(16,)))
        settings = MaxEntSettings(**{"iterations": 6, "steps": 6, "grid": SMALL, **changes})  # type: ignore[arg-type]
        return MaxEnt(task, demonstrations, Policy(world), reward, settings)

    return make


def landed(d: float) -> Tensor:
    """φ of a ball that lies d metres from the target."""
    return torch.tensor([d, 0.3 * math.tanh(d / 0.1), 0.0, 1.0])


def test_it_learns_that_near_is_better(learner_of: Callable[..., MaxEnt]) -> None:
    learner = learner_of()
    before = believe(learner.problem, torch.zeros(len(learner.problem.features)))
    policy = learner.policy.state_dict()
    untouched = {name: value.clone() for name, value in policy.items()}
    figures = [learner.iterate() for _ in range(6)]
    assert learner.finished
    assert figures[-1]["log_likelihood"] > figures[0]["log_likelihood"] > before.log_likelihood - 0.5
    assert figures[-1]["log_likelihood"] > before.log_likelihood + 1.0
    assert figures[-1]["believed_hit_10cm"] > 5 * learner.problem.hit_rate(before.marginals)
    with torch.no_grad():
        near, off, far = (float(learner.reward.of_features(landed(d))) for d in (0.0, 0.15, 0.6))
    assert near > off > far
    assert all(torch.equal(value, untouched[name]) for name, value in learner.policy.state_dict().items())


def test_down_the_gradient_people_become_unlikely_and_near_is_worse(
    learner_of: Callable[..., MaxEnt],
) -> None:
    learner = learner_of()
    for parameter in learner.reward.parameters():
        parameter.register_hook(torch.neg)
    figures = [learner.iterate() for _ in range(6)]
    assert figures[-1]["log_likelihood"] < figures[0]["log_likelihood"]
    with torch.no_grad():
        near, far = (float(learner.reward.of_features(landed(d))) for d in (0.0, 0.6))
    assert near < far


def test_the_gradient_goes_up(learner_of: Callable[..., MaxEnt]) -> None:
    """A small step along it makes the demonstrations likelier by its squared length."""
    learner = learner_of()
    parameters = list(learner.reward.parameters())
    before = ascend(learner.problem, learner.reward, gain=0.5).log_likelihood
    squared = sum(float(p.grad.square().sum()) for p in parameters)
    step = 0.02 / squared
    with torch.no_grad():
        for p in parameters:
            p -= step * p.grad
        r = 0.5 * learner.reward.of_features(learner.problem.features)
    after = believe(learner.problem, r).log_likelihood
    assert after - before == pytest.approx(step * squared, rel=0.15)


def test_it_resumes_to_the_bit(learner_of: Callable[..., MaxEnt]) -> None:
    resumed, whole = learner_of(), learner_of()
    for _ in range(3):
        whole.iterate()
    broken = learner_of()  # seeded like the one before
    for _ in range(2):
        broken.iterate()
    kept, random = broken.state_dict(), torch.get_rng_state()
    torch.rand(100)
    resumed.load_state_dict(kept)
    torch.set_rng_state(random)
    resumed.iterate()
    assert resumed.round == 3
    expected = whole.reward.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in resumed.reward.state_dict().items())


def test_pessimism_is_about_what_idle_hands_bring_about(learner_of: Callable[..., MaxEnt]) -> None:
    brave, wary = learner_of(pessimism=0.0), learner_of(pessimism=0.3)
    nothing = torch.zeros(len(wary.problem.features))
    torch.testing.assert_close(wary.idle, 0.3 * believe(wary.problem, nothing).visits)
    worth = []
    for learner in (brave, wary):
        for _ in range(2):
            learner.iterate()
        with torch.no_grad():
            worth.append(float((wary.idle * learner.reward.of_features(wary.problem.features)).sum()))
    assert worth[1] < worth[0] - 0.5


def test_what_it_cannot_do_is_said(learner_of: Callable[..., MaxEnt], demonstrations: Trajectories) -> None:
    with pytest.raises(InputError, match=r"reward\.inputs: maxent learns rewards of states"):
        learner_of(inputs="state-action")
    with pytest.raises(InputError, match="knows the finite MDP of a throw only"):
        MaxEnt(object(), demonstrations, None, None, MaxEntSettings())  # type: ignore[arg-type]
    for field, value in (("gain", 0.0), ("steps", 0)):
        with pytest.raises(ValueError, match=field):
            MaxEntSettings(**{field: value})  # type: ignore[arg-type]
