"""Who threw, and where their balls came down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.errors import InputError
from irl_ros.evaluation.evaluate import EVALUATION_SEED, figures_of, starts_of, throw_at_unseen
from irl_ros.irl.learn import close_simulator, make_simulator
from irl_ros.rl.policy import load_policy
from irl_ros.sim import Throws, World


@dataclass(frozen=True)
class Thrower:
    """Somebody's throws for the report.

    Attributes:
        name: how the report calls them.
        colour: of the report's palette.
        note: what they are, in a few words.
        figures: as `figures_of`; of a person whose bags are gone only what run.yaml kept.
        throws: N throws, or None where they are gone.
    """

    name: str
    colour: str
    note: str
    figures: dict[str, Any]
    throws: Throws | None


def demonstrated(description: dict[str, Any], run: Path, world: World) -> Thrower | None:
    """The person a run learned from; the bags are looked for where they were, and beside the run."""
    demos = description.get("demos")
    if not demos:
        return None
    throws = _bags(demos, run, world)
    if throws is not None:
        figures = figures_of(throws.outcome)
    else:
        figures = {"throws": demos["episodes"], "hit_10cm": demos["hit_10cm"], "hit_5cm": demos["hit_5cm"]}
    return Thrower("Operator", "operator", "the demonstrations", figures, throws)


def deployed(bags: Path, world: World) -> Thrower:
    """The policy's throws on the arm, as its recorder wrote them.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    throws = load_demonstrations(bags, world).throws
    note = f"{len(throws)} throws over ROS 2 topics"
    return Thrower("Policy on the arm", "policy", note, figures_of(throws.outcome), throws)


def _bags(demos: dict[str, Any], run: Path, world: World) -> Throws | None:
    places = [[Path(p) for p in demos["paths"]]]
    places.append([run.resolve().parent / p.name for p in places[0]])
    for paths in places:
        if all(p.exists() for p in paths):
            try:
                found = load_demonstrations(paths, world)
            except InputError:
                continue
            if found.sha256 == demos["sha256"]:  # others may lie in that place by now
                return found.throws
    return None


def thrown(
    run: Path,
    name: str,
    colour: str,
    note: str,
    world: World,
    count: int,
    sim: str,
    known: dict[str, Any] | None = None,
) -> Thrower:
    """The policy of a run (or of its clone), thrown at the targets `evaluate` uses.

    `known`: figures that `evaluate` gave before, of more throws than are made here for the pictures.
    """
    policy = load_policy(run)
    policy.check_robot(world.robot)
    simulator = make_simulator(world, sim, torch.device("cpu"))
    try:
        throws = throw_at_unseen(policy, simulator, count, EVALUATION_SEED, starts_of(run, world))
    finally:
        close_simulator(simulator)
    figures = known or {**figures_of(throws.outcome), "sim": sim}
    note = f"{note}, {figures['throws']} unseen targets"
    return Thrower(name, colour, note, figures, throws)


def misses(throws: Throws) -> np.ndarray:
    """Landings relative to the target as the thrower sees them, m, [N, 2]: right, far; NaN: did not land."""
    target = throws.states.target[:, 0, :2].double()
    miss = throws.outcome.landing[:, :2].double() - target
    forward = torch.nn.functional.normalize(target, dim=-1)
    far = (miss * forward).sum(-1)
    right = miss[:, 0] * forward[:, 1] - miss[:, 1] * forward[:, 0]
    return torch.stack((right, far), -1).numpy()


def from_above(points: torch.Tensor) -> np.ndarray:
    """World points [N, 2 or 3] as a map with the robot's front up: right (−y) and ahead (x), m, [N, 2]."""
    xy = points[:, :2].double().numpy()
    return np.stack((-xy[:, 1], xy[:, 0]), -1)


def typical(throws: Throws) -> int:
    """Index of a throw worth showing: of those that landed, the one of middling error."""
    error = throws.outcome.error.double()
    landed = int(error.isfinite().sum())
    return int(error.argsort()[max(landed // 2, 0)])
