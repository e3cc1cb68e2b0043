"""How well a policy throws, at targets it has never seen."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irl_ros.irl.learn import close_simulator, make_simulator
from irl_ros.irl.run_directory import load_starts
from irl_ros.rl.policy import Policy, load_policy
from irl_ros.rl.throw_task import Starts
from irl_ros.sim import BulletPool, Outcome, State, Throws, World, load_world, throw
from irl_ros.sim.rollout import Simulator

EVALUATION_SEED = 1_000_000
"""The seed of the targets when none is asked for: results of two policies are then of the same targets."""
Z95 = 1.959963984540054
"""97.5 % point of the normal distribution."""


def evaluate(
    run: str | Path,
    world: str | Path | World | None = None,
    throws: int = 1000,
    seed: int = EVALUATION_SEED,
    sim: str = "pybullet",
) -> dict[str, Any]:
    """Throw a policy at unseen targets.

    Args:
        run: what `learn` or `transfer` left, or the `bc` folder in it: the clone the policy began as.
        world: name or YAML of another world of the same robot; default: the policy's own.
        throws: how many.
        seed: of the targets. They are drawn apart from all that training draws, whatever its seed was.
        sim: "pybullet" or "batch" (quicker).

    Returns:
        The figures of `figures_of`, and world, sim, seed, policy_sha256; where the world draws anything anew
        for every throw, also `drawn`: key → [least, largest] of what the throws drew.

    Raises:
        InputError: no policy there, an unknown world or simulator, or the world has another robot.
    """
    policy = load_policy(run)
    place = world_for(policy, world)
    simulator = make_simulator(place, sim, torch.device("cpu"))
    try:
        thrown = throw_at_unseen(policy, simulator, throws, seed, starts_of(run, place))
    finally:
        close_simulator(simulator)
    return {
        **figures_of(thrown.outcome),
        "world": place.name,
        "sim": sim,
        "seed": seed,
        "policy_sha256": policy.sha256,
        **({"drawn": drawn} if (drawn := drawn_in(thrown, place)) else {}),
    }


def drawn_in(throws: Throws, world: World) -> dict[str, list[float]]:
    """What N throws drew of the keys the world draws: key → [least, largest]; of limits, as shares."""
    drawn: dict[str, list[float]] = {}
    if throws.conditions is not None:
        for key in world.drawn:
            values = throws.conditions.of(key, world)
            drawn[key] = [float(values.min()), float(values.max())]
    return drawn


def world_for(policy: Policy, world: str | Path | World | None) -> World:
    """Where to throw: the world asked for, or the policy's own.

    Raises:
        InputError: it has another robot.
    """
    if world is None:
        return policy.world
    place = world if isinstance(world, World) else load_world(world)
    policy.check_robot(place.robot)
    return place


def starts_of(run: str | Path, world: World) -> Starts:
    """Where throws start. The clone keeps no starts of its own: they are those of the run around it.

    Raises:
        InputError: the world starts where demonstrations did, and the run does not know where that was.
    """
    run = Path(run)
    kept = (run / "starts.safetensors").is_file()
    return load_starts(run if kept or run.resolve().name != "bc" else run.resolve().parent, world)


def throw_at_unseen(
    policy: Policy, simulator: Simulator, count: int, seed: int = EVALUATION_SEED, starts: Starts = None
) -> Throws:
    """`count` throws of the deterministic policy.

    Targets, starts and, in a world that draws any, conditions belong to `seed`; the result holds them.
    """
    generator = unseen(seed)
    targets = simulator.world.sample_targets(count, generator)
    if starts is not None:
        chosen = torch.randint(len(starts[0]), (count,), generator=generator)
        starts = (starts[0][chosen], starts[1][chosen])

    def act(state: State) -> Tensor:
        return policy.act(state.to(dtype=torch.float32))

    conditions = simulator.world.sample_conditions(count, generator)
    if isinstance(simulator, BulletPool):
        return simulator.throw(act, targets, starts, conditions)
    return throw(simulator, act, targets, starts, conditions)


def unseen(seed: int) -> torch.Generator:
    """A generator that no training seed leads to: training seeds are used as they are, this one is hashed."""
    digest = hashlib.sha256(f"irl_ros evaluation {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def figures_of(outcome: Outcome) -> dict[str, Any]:
    """What N throws [N] amount to; every value is a finite number or None.

    Keys: `throws`; `hit_10cm`, `hit_5cm` (shares that landed within 0.10 and 0.05 m, and in the bin if there
    is one); `hit_10cm_ci95` (Wilson); `median_error_m`, `p95_error_m` (horizontal distance from the target; a
    ball that did not land is infinitely far away, and a quantile that falls on one is None); `released`
    (share); `limit_violations` (control steps outside position, velocity or acceleration limits, all throws
    together); `torque_saturation` (share of physics steps with a clipped torque; None where it was not
    computed).
    """
    error = outcome.error.cpu()
    hits = int(outcome.hits(0.10).sum())
    return {
        "throws": len(error),
        "hit_10cm": hits / len(error),
        "hit_5cm": float(outcome.hits(0.05).double().mean()),
        "hit_10cm_ci95": list(wilson(hits, len(error))),
        "median_error_m": _quantile(error, 0.50),
        "p95_error_m": _quantile(error, 0.95),
        "released": float(outcome.released.double().mean()),
        "limit_violations": int(outcome.limit_violations.sum()),
        "torque_saturation": _finite(float(outcome.torque_saturation.double().mean())),
    }


def wilson(hits: int, throws: int) -> tuple[float, float]:
    """95 % confidence interval of a rate (Wilson 1927): sensible at 0 and 100 % too."""
    p, z2 = hits / throws, Z95 * Z95
    centre = (p + z2 / (2 * throws)) / (1 + z2 / throws)
    half = Z95 / (1 + z2 / throws) * math.sqrt(p * (1 - p) / throws + z2 / (4 * throws * throws))
    return max(0.0, centre - half), min(1.0, centre + half)


def table(figures: dict[str, Any]) -> str:
    """The figures of `evaluate` for a terminal."""

    def centimetres(key: str) -> str:
        value = figures[key]
        return "did not land" if value is None else f"{100 * value:.1f} cm"

    low, high = figures["hit_10cm_ci95"]
    saturation = figures["torque_saturation"]
    rows = [
        (
            "world",
            f"{figures['world']}, in {'PyBullet' if figures['sim'] == 'pybullet' else 'the batched world'}",
        ),
        ("throws", f"{figures['throws']} at unseen targets (seed {figures['seed']})"),
        ("within 10 cm", f"{figures['hit_10cm']:7.1%}   95 % sure: {low:.1%} to {high:.1%}"),
        ("within 5 cm", f"{figures['hit_5cm']:7.1%}"),
        ("median error", centimetres("median_error_m")),
        ("95 % within", centimetres("p95_error_m")),
        ("ball released", f"{figures['released']:7.1%}"),
        ("limits left", f"in {figures['limit_violations']} control steps"),
        ("torque clipped", "not computed" if saturation is None else f"{saturation:7.2%} of physics steps"),
        ("policy", figures["policy_sha256"][:16]),
    ]
    for key, (low, high) in figures.get("drawn", {}).items():
        rows.append((key, f"{low:.4g} to {high:.4g}, drawn for every throw"))
    width = max(15, *(len(name) for name, _ in rows))
    return "\n".join(f"{name:>{width}}  {value.strip()}" for name, value in rows)


def _quantile(values: Tensor, share: float) -> float | None:
    """The value that `share` of them do not exceed, or None where that is infinite."""
    place = max(math.ceil(share * len(values)) - 1, 0)
    return _finite(float(values.sort().values[place]))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
