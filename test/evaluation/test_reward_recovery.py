"""A learned reward against the true one: rewards whose figures are known, throws of all kinds, the verb."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import pytest
import torch

from irl_ros import cli
from irl_ros.errors import InputError
from irl_ros.evaluation.coverage import NEVER, THROWERS, Coverage, cover
from irl_ros.evaluation.reward_phases import PHASES, closest_increasing, compare_phases, phases_of
from irl_ros.evaluation.reward_recovery import FIGURES, GAMMA, Recovery, compare, recover, table
from irl_ros.rewards.distances import pearson, pearson_distance
from irl_ros.rewards.distances.throws import side_by_side
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.rl.policy import Policy
from irl_ros.sim import State, World, load_world

Bend = Callable[[torch.Tensor, State], torch.Tensor]


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.fixture(scope="module")
def covered(world: World) -> Coverage:
    torch.manual_seed(4)
    return cover(Policy(world), world, 60, seed=5)


def figures(bend: Bend, coverage: Coverage, world: World) -> dict:
    """Of the true reward, bent, against itself."""
    true = TrueReward(world)
    both = side_by_side(lambda s, a: bend(true(s).double(), s), lambda s, a: true(s))
    found, _ = compare(both, coverage, world, GAMMA, torch.Generator().manual_seed(1))
    return found


# --- rewards whose figures are known ---


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scaled_true_reward_is_found_out(sign: float, covered: Coverage, world: World) -> None:
    found = figures(lambda r, s: sign * 0.3 * r + 2, covered, world)
    for part in (found, *(found["subsets"][name] for name in ("landed", "operator", "random"))):
        for name in FIGURES:
            expected = sign if name in ("pearson", "spearman") else (1 - sign) / 2
            for level in ("step", "return"):
                assert part[name][level] == pytest.approx(expected, abs=1e-4), (name, level)
    # turning a reward round is no scaling: what is left of the opposite is the mean of each phase
    assert (found["return_pearson_if"]["scaled"] > 0.999) == (sign > 0)


def test_bent_reward_keeps_the_order_of_steps_and_loses_pearson(covered: Coverage, world: World) -> None:
    """As tanh does to the learned ones; straightened, it is the true one again."""
    found = figures(lambda r, s: torch.exp(6 * r), covered, world)
    assert found["spearman"]["step"] == pytest.approx(1.0)
    assert found["pearson"]["step"] < 0.95 and found["pearson"]["return"] < 0.95
    assert found["return_pearson_if"]["straightened"] == pytest.approx(1.0)
    assert found["return_pearson_if"]["scaled"] < 0.98
    for name in PHASES:
        assert found["phases"][name]["spearman"] == pytest.approx(1.0)
        assert found["phases"][name]["pearson"] < 0.98


def test_phases_that_are_weighed_wrongly_are_named(covered: Coverage, world: World) -> None:
    """Right within each phase, but a held ball counts a fifth and a landed one triple."""
    found = figures(lambda r, s: r * (1 - 0.8 * s.held.double() + 2.0 * s.landed), covered, world)
    assert found["pearson"]["return"] < 0.95
    assert found["return_pearson_if"]["scaled"] == pytest.approx(1.0)
    for name, factor in (("held", 0.2), ("flying", 1.0), ("landed", 3.0)):
        part = found["phases"][name]
        assert part["pearson"] == pytest.approx(1.0)
        assert part["spread_learned"] == pytest.approx(factor * part["spread_true"])
    assert sum(found["phases"][name]["steps"] for name in PHASES) == 60 * world.horizon


def test_returns_are_sums_over_the_episode(covered: Coverage, world: World) -> None:
    """Plain ones for correlations; discounted ones of canonical rewards for distances. EPIC's are those of
    the states entered, when a reward sees the state alone."""
    true = TrueReward(world)
    both = side_by_side(lambda s, a: s.landed.double() * torch.exp(true(s).double()), lambda s, a: true(s))
    some = Coverage(covered.throws[slice(0, 40)], covered.thrower[:40])
    found, returns = compare(both, some, world, 0.9, torch.Generator().manual_seed(1))
    states = some.throws.states
    learned, right = (both(states[:, :-1], some.throws.actions, states[:, 1:])[..., k].sum(1) for k in (0, 1))
    torch.testing.assert_close(returns, torch.stack((learned, right), -1))
    assert found["pearson"]["return"] == pytest.approx(pearson(learned, right))
    entered = both(states[:, 1:], some.throws.actions, states[:, 1:])
    total = sum(0.9**t * entered[:, t] for t in range(world.horizon))
    assert found["epic"]["return"] == pytest.approx(pearson_distance(total[:, 0], total[:, 1]), abs=1e-5)
    entered = entered.flatten(0, 1)
    assert found["epic"]["step"] == pytest.approx(pearson_distance(entered[:, 0], entered[:, 1]), abs=1e-5)


def test_subsets_are_of_their_own_throws(covered: Coverage, world: World) -> None:
    true = TrueReward(world)
    both = side_by_side(lambda s, a: s.landed.double() * torch.exp(true(s).double()), lambda s, a: true(s))
    whole, _ = compare(both, covered, world, GAMMA, torch.Generator().manual_seed(1))
    by = covered.by("any_time")
    throws = dataclasses.replace(
        covered.throws,
        states=covered.throws.states[by],
        actions=covered.throws.actions[by],
        outcome=covered.throws.outcome[by],
    )
    alone, _ = compare(both, Coverage(throws, covered.thrower[by]), world, GAMMA)
    for name in ("pearson", "spearman", "epic", "starc"):  # DARD's actions are other draws
        assert whole["subsets"]["any_time"][name] == pytest.approx(alone[name], abs=1e-5)
    assert whole["subsets"]["any_time"]["starc"] != whole["starc"]


def test_constant_reward_has_no_correlation_and_is_half_from_everything(
    covered: Coverage, world: World
) -> None:
    found = figures(lambda r, s: torch.full_like(r, 0.3), covered, world)
    for level in ("step", "return"):
        assert found["pearson"][level] is None and found["spearman"][level] is None
        for name in ("epic", "dard", "starc"):
            assert found[name][level] == pytest.approx(0.5)
    assert "none" in table({**found, "throws": 60, "world": "w", "seed": 0, "reward_sha256": "0"})


def test_subsets_that_are_too_small_are_left_blank(covered: Coverage, world: World) -> None:
    kept = ~covered.throws.states.landed[:, -1]
    throws = dataclasses.replace(
        covered.throws,
        states=covered.throws.states[kept],
        actions=covered.throws.actions[kept],
        outcome=covered.throws.outcome[kept],
    )
    true = TrueReward(world)
    both = side_by_side(lambda s, a: true(s), lambda s, a: true(s))
    found, _ = compare(both, Coverage(throws, covered.thrower[kept]), world, GAMMA)
    assert found["subsets"]["landed"]["throws"] == 0
    assert found["subsets"]["landed"]["epic"] == {"step": None, "return": None}
    assert found["phases"]["landed"]["pearson"] is None


@pytest.mark.parametrize("seed", range(8))
def test_closest_increasing_function_by_trying_all(seed: int) -> None:
    """The best fit is constant on blocks of neighbours: all 2^(K − 1) ways to cut, those that increase."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randperm(7, generator=generator).double()
    y = torch.randint(0, 5, (7,), generator=generator).double()
    in_order = y[x.argsort()]
    best, least = torch.zeros(7).double(), math.inf
    for cuts in itertools.product((False, True), repeat=6):
        edges = [0, *(k + 1 for k, cut in enumerate(cuts) if cut), 7]
        blocks = [in_order[a:b] for a, b in itertools.pairwise(edges)]
        means = [float(b.mean()) for b in blocks]
        fit = torch.cat([torch.full_like(b, m) for b, m in zip(blocks, means)])
        error = float((fit - in_order).square().sum())
        if means == sorted(means) and error < least - 1e-12:
            best, least = fit, error
    torch.testing.assert_close(closest_increasing(x, y)[x.argsort()], best)


def test_equal_values_stay_equal_when_straightened() -> None:
    x, y = torch.tensor([1.0, 1.0, 2.0]).double(), torch.tensor([4.0, 0.0, 3.0]).double()
    assert closest_increasing(x, y).tolist() == [2.0, 2.0, 3.0]


def test_phase_of_a_throw_without_variation_does_no_harm() -> None:
    phase = torch.tensor([[0, 0, 1, 2]])
    found = compare_phases(torch.ones(1, 4), torch.tensor([[-1.0, -2.0, -1.0, 0.0]]), phase)
    assert found["phases"]["held"]["pearson"] is None and found["phases"]["flying"]["steps"] == 1
    assert found["return_pearson_if"] == {"scaled": None, "straightened": None}


# --- throws of all kinds ---


def test_throws_are_what_they_are_called(covered: Coverage, world: World) -> None:
    throws = covered.throws
    assert [covered.count(name) for name in THROWERS] == [10] * 6
    for name in THROWERS:
        by = throws.states[covered.by(name)]
        assert (by.target == by.target[:, :1]).all()
    error, released = throws.outcome.error, throws.outcome.released
    assert error[covered.by("operator")].median() < 0.15 < error[covered.by("elsewhere")].median()
    # errors are those of the targets that were swapped in
    miss = (throws.outcome.landing - throws.states.target[:, 0])[:, :2].norm(dim=-1)
    landed = throws.states.landed[:, -1]
    torch.testing.assert_close(error[landed], miss[landed])
    assert torch.isinf(error[~landed]).all()
    first_opening = throws.states.held.sum(1)
    at_random = covered.by("random") | covered.by("any_time")
    assert len(first_opening[at_random & released].unique()) > 8
    assert first_opening[at_random].float().std() > 10
    # an arm that moves at random keeps its speed; an untrained policy with noise does not move alike
    speeds = throws.actions[covered.by("random")][..., :-1]
    assert (speeds == speeds[:, :1]).all() and speeds[:, 0].std() > 0.3
    spread = {name: float(throws.actions[covered.by(name)][..., :-1].std()) for name in THROWERS}
    assert spread["noisy"] > 2 * spread["policy"]
    assert phases_of(throws.states).unique().tolist() == [0, 1, 2]


def test_some_throws_with_a_random_release_keep_the_ball(world: World) -> None:
    torch.manual_seed(0)
    many = cover(Policy(world), world, 600, seed=5)
    kept = float((~many.throws.outcome.released[many.by("random")]).float().mean())
    assert kept == pytest.approx(NEVER, abs=0.12)  # three deviations of 100 throws


def test_half_of_the_throws_know_nothing_of_the_run(covered: Coverage, world: World) -> None:
    torch.manual_seed(9)
    other = cover(Policy(world), world, 60, seed=5)
    for name in THROWERS:
        same = torch.equal(other.throws.actions[other.by(name)], covered.throws.actions[covered.by(name)])
        assert same == (name in ("operator", "elsewhere", "random")), name
    torch.manual_seed(4)
    again, moved = cover(Policy(world), world, 60, seed=5), cover(Policy(world), world, 60, seed=3)
    assert torch.equal(again.throws.actions, covered.throws.actions)
    assert not torch.equal(moved.throws.states.target, covered.throws.states.target)


def test_throws_begin_where_the_run_s_throws_begin(world: World) -> None:
    starts = (torch.tensor([[0.1] * 7, [0.2] * 7]), torch.zeros(2, 7))
    found = cover(Policy(world), world, 12, seed=5, starts=starts)
    begins = found.throws.states.q[found.by("random"), 0]
    assert all(any(torch.equal(b, s) for s in starts[0]) for b in begins)


def test_where_no_person_can_throw_the_robot_still_can(ring: Callable[..., World]) -> None:
    too_far = ring(4.0, 5.0)
    found = cover(Policy(too_far), too_far, 12, seed=5)
    assert [found.count(name) for name in THROWERS] == [0, 0, 2, 2, 2, 2]


# --- a RUN ---


@pytest.fixture(scope="module")
def recovery(learned: Path) -> Recovery:
    return recover(learned, throws=24, seed=3)


def test_figures_of_a_run_are_the_contract_s(recovery: Recovery, learned: Path) -> None:
    found = recovery.figures
    for name in ("pearson", "spearman", "epic", "dard", "starc"):
        assert set(found[name]) == {"step", "return"}
        low = -1.0 if name in ("pearson", "spearman") else 0.0
        assert all(low <= found[name][level] <= 1.0 for level in ("step", "return"))
    assert found["coverage"] == dict.fromkeys(THROWERS, 4)
    assert (found["throws"], found["world"], found["seed"]) == (24, "default", 3)
    json.dumps(found, allow_nan=False)
    assert recover(learned, throws=24, seed=3).figures == found


def test_reward_is_measured_in_another_world_too(learned: Path, cloned: Path) -> None:
    found = recover(learned, world="weak_wrist", throws=12, seed=3).figures
    assert found["world"] == "weak_wrist" and found["throws"] == 12
    with pytest.raises(InputError, match="trained on robot 'panda'"):
        recover(learned, world=load_world({"robot": "iiwa"}))
    with pytest.raises(InputError, match=r"holds no reward\.yaml"):
        recover(cloned)


def test_verb_prints_writes_and_draws(
    learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture, recovery: Recovery
) -> None:
    options = ["--throws", "24", "--seed", "3"]
    files = ["--json", str(tmp_path / "r.json"), "--out", str(tmp_path / "picture")]
    assert cli.main(["reward", str(learned), *options, *files]) == 0
    out = capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text()) == recovery.figures
    for text in (*FIGURES, "0 unrelated", "by random swings", f"{recovery.figures['starc']['return']:.3f}"):
        assert text in out
    image = matplotlib.image.imread(tmp_path / "picture", format="png")
    assert image.shape[0] > 400 and image.shape[1] > 1200 and image.std() > 0.05
    assert not (learned / "reward.png").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["{cloned}"], "holds no reward.yaml"),
        (["{tmp}/nowhere"], "no such run directory"),
        (["{learned}", "--json", "{tmp}/none/x.json"], "there is no folder"),
        (["{learned}", "--out", "{tmp}/none/x.png"], "there is no folder"),
        (["{learned}", "--throws", "6", "--seed", "3", "--out", "{tmp}"], "cannot be written"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    options: list[str],
    complaint: str,
    learned: Path,
    cloned: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    given = [o.format(learned=learned, cloned=cloned, tmp=tmp_path) for o in options]
    assert cli.main(["reward", *given]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and complaint in err and err.startswith("irl-ros reward: ")
    assert not any(tmp_path.iterdir())
