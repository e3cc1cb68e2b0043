"""How near a learned reward is to the true one: correlations and distances over throws of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irl_ros.evaluation.coverage import THROWERS, Coverage, cover
from irl_ros.evaluation.evaluate import EVALUATION_SEED, starts_of, unseen, world_for
from irl_ros.evaluation.reward_phases import compare_phases, finite, phases_of
from irl_ros.networks import weights_sha256
from irl_ros.rewards.distances import pearson, pearson_distance, spearman, standardised_distance
from irl_ros.rewards.distances.samples import TransitionReward
from irl_ros.rewards.distances.throws import canonical_forms, side_by_side
from irl_ros.rewards.reward import Reward, load_reward
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.rl.policy import load_policy
from irl_ros.rl.ppo import PPOSettings
from irl_ros.sim import State, World

GAMMA = PPOSettings().gamma
"""Discount of shaping in EPIC, DARD and STARC: the one every learner here has by default."""
NEAR = 0.5
"""A throw that landed within this of the target is in the subset "within_50cm", m."""
DISTANCES = ("epic", "dard", "starc")
FIGURES = ("pearson", "spearman", *DISTANCES)


@dataclass(frozen=True)
class Recovery:
    """Learned and true reward over throws of all kinds.

    Attributes:
        figures: what `irl-ros reward --json` writes.
        reward: the learned one.
        world: where the throws were.
        returns: sum of the learned and of the true reward over each throw, [N, 2].
        coverage: the throws.
    """

    figures: dict[str, Any]
    reward: Reward
    world: World
    returns: Tensor
    coverage: Coverage


def recover(
    run: str | Path,
    world: str | Path | World | None = None,
    throws: int = 600,
    seed: int = EVALUATION_SEED,
) -> Recovery:
    """Compare the learned reward of a run with the task's own.

    Args:
        run: what `learn` or `transfer` left.
        world: name or YAML of another world of the same robot; default: the policy's own.
        throws: how many; a sixth by each of `coverage.THROWERS`.
        seed: of everything random, apart from what any training draws.

    Raises:
        InputError: the run has no reward or no policy, or the world is unknown or has another robot.
    """
    policy = load_policy(run)
    place = world_for(policy, world)
    learned, true = load_reward(run, place), TrueReward(place)
    coverage = cover(policy, place, throws, seed, starts_of(run, place))
    with torch.no_grad():
        both = side_by_side(learned, lambda state, action: true(state))
        figures, returns = compare(both, coverage, place, GAMMA, unseen(seed + 1))
    figures |= {
        "coverage": {name: coverage.count(name) for name in THROWERS},
        "throws": len(coverage.throws),
        "world": place.name,
        "seed": seed,
        "gamma": GAMMA,
        "reward_sha256": weights_sha256(learned),
    }
    return Recovery(figures, learned, place, returns, coverage)


def compare(
    both: TransitionReward[State],
    coverage: Coverage,
    world: World,
    gamma: float,
    generator: torch.Generator | None = None,
) -> tuple[dict[str, Any], Tensor]:
    """Figures of two rewards over throws.

    Per step, every step of every throw is an entry. Per return, every throw is: `pearson` and `spearman` of
    the plain sum over the horizon; `epic`, `dard` and `starc` of the discounted sum of their canonical forms,
    in which potentials cancel too. (STARC's sum is the return less what letting go at once would bring.)

    Args:
        both: the two rewards side by side, (s, a, s') → [K, 2].
        coverage: the throws.
        world: theirs.
        gamma: discount.
        generator: draws for the expectations in canonical forms.

    Returns:
        `FIGURES`, each {"step": …, "return": …} (None: undefined, as the correlation with a constant); the
        same within "subsets" of the throws, with their number; "phases" and "return_pearson_if" of
        `compare_phases`. And the returns, [N, 2].
    """
    throws = coverage.throws
    states = throws.states[:, :-1]
    plain = both(states, throws.actions, throws.states[:, 1:])
    forms = canonical_forms(both, throws, world, gamma, generator=generator)
    error = throws.outcome.error
    subsets = {"landed": error.isfinite(), "within_50cm": error <= NEAR}
    subsets |= {name: coverage.by(name) for name in THROWERS}
    every = torch.ones_like(coverage.thrower, dtype=torch.bool)
    figures = {
        **_figures(plain, forms, every, gamma),
        "subsets": {
            name: {"throws": int(which.sum()), **_figures(plain, forms, which, gamma)}
            for name, which in subsets.items()
        },
        **compare_phases(plain[..., 0], plain[..., 1], phases_of(states)),
    }
    return figures, plain.sum(1)


def _figures(
    plain: Tensor, forms: dict[str, Tensor], which: Tensor, gamma: float
) -> dict[str, dict[str, float | None]]:
    """FIGURES of some of the throws, from rewards and canonical forms [N, T, 2]."""
    if int(which.sum()) < 2:
        return {name: {"step": None, "return": None} for name in FIGURES}
    discount = gamma ** torch.arange(plain.shape[1], dtype=torch.double)
    step, total = plain[which], plain[which].sum(1)
    found = {
        name: {"step": finite(measure(*_columns(step))), "return": finite(measure(*_columns(total)))}
        for name, measure in (("pearson", pearson), ("spearman", spearman))
    }
    for name in DISTANCES:
        measure = standardised_distance if name == "starc" else pearson_distance
        form = forms[name][which]
        total = (discount[:, None] * form).sum(1)
        found[name] = {"step": measure(*_columns(form)), "return": measure(*_columns(total))}
    return found


def _columns(pairs: Tensor) -> tuple[Tensor, Tensor]:
    """[..., 2] → the learned and the true column."""
    return pairs[..., 0].flatten(), pairs[..., 1].flatten()


MEANING = {
    "pearson": "1 the same up to scale and offset, 0 unrelated, -1 opposite",
    "spearman": "1 the same order of better and worse, 0 unrelated, -1 opposite",
    "epic": "0 the same up to potential shaping and scale, 0.71 unrelated, 1 opposite",
    "dard": "as epic, asked only where one control step can lead: how well it steers the arm",
    "starc": "0 would order all policies as the true reward does, 0.71 unrelated, 1 opposite",
}
SUBSETS = {"landed": "the ball landed", "within_50cm": f"it landed within {100 * NEAR:.0f} cm"} | {
    "operator": "by a person who aimed at the target",
    "elsewhere": "by a person who aimed elsewhere",
    "policy": "by the RUN's policy",
    "noisy": "by that policy with noise",
    "any_time": "by that policy, let go at any time",
    "random": "by random swings",
}


def table(figures: dict[str, Any]) -> str:
    """The figures of `recover` for a terminal."""
    where = f"world '{figures['world']}' (seed {figures['seed']})"
    lines = [
        f"learned reward {figures['reward_sha256'][:16]} against the task's own",
        f"over {figures['throws']} throws of all kinds, good and bad, in {where}",
        "",
        _row("", "a step", "a return"),
    ]
    for name, meaning in MEANING.items():
        lines.append(_row(name, figures[name]["step"], figures[name]["return"], meaning))
    lines += ["", _row("throws", "pearson", "spearman", "of returns, over these throws alone:")]
    for name, text in SUBSETS.items():
        part = figures["subsets"][name]
        lines.append(_row(part["throws"], part["pearson"]["return"], part["spearman"]["return"], text))
    lines += ["", _row("steps", "pearson", "spearman", "of steps, while the ball is:")]
    for name, part in figures["phases"].items():
        learned, true = (_number(part[f"spread_{whose}"]) for whose in ("learned", "true"))
        text = f"{name} (spread {learned}, of the true reward {true})"
        lines.append(_row(part["steps"], part["pearson"], part["spearman"], text))
    scaled, straight = (_number(figures["return_pearson_if"][key]) for key in ("scaled", "straightened"))
    lines += [
        "",
        "If held, flying and landed counted against each other as in the true reward, pearson of returns",
        f"would be {scaled}; if the learned reward were also bent straight within each, {straight}.",
    ]
    return "\n".join(lines)


def _row(name: object, first: object, second: object, text: str = "") -> str:
    columns = (x if isinstance(x, str) else _number(x) for x in (first, second))
    return (f"{name:>10}" + "".join(f"{x:>10}" for x in columns) + f"   {text}").rstrip()


def _number(value: object) -> str:
    return "none" if value is None else f"{value:.3f}"
