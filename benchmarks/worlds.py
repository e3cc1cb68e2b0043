"""A person's throws into every shipped world: what its targets ask of an arm.

    python benchmarks/worlds.py [--throws 20] [--worlds bin,far]

The synthetic operator, who has practised in that world and has a person's faults, throws at the same targets
in the batched world and in PyBullet. No learning: this is what demonstrations from each world look like.
"""

from __future__ import annotations

import argparse

import torch

from irl_ros.demos.operator import demonstrate
from irl_ros.errors import InputError
from irl_ros.resources import config_file, shipped
from irl_ros.sim import BulletWorld, Outcome, load_world


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--throws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worlds", default=",".join(shipped("worlds")))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':16}{'batched world':>16}{'PyBullet':>16}{'torque':>10}")
    print(f"{'world':16}{'10 cm    5 cm':>16}{'10 cm    5 cm':>16}{'clipped':>10}  what it is for")
    for name in options.worlds.split(","):
        torch.manual_seed(options.seed)
        print(f"{name:16}{_row(name, options.throws, options.seed)}", flush=True)


def _row(name: str, throws: int, seed: int) -> str:
    world, purpose = load_world(name), config_file("worlds", name).read_text().splitlines()[0][2:]
    try:
        batch = demonstrate(world, episodes=throws, seed=seed).outcome
        with BulletWorld(world) as simulator:
            bullet = demonstrate(world, episodes=throws, seed=seed, simulator=simulator).outcome
    except InputError as error:
        return f"  {error.problem}"
    clipped = 100 * float(bullet.torque_saturation.mean())
    return f"{_hits(batch):>16}{_hits(bullet):>16}{clipped:9.1f}%  {purpose}"


def _hits(outcome: Outcome) -> str:
    return " ".join(f"{100 * float(outcome.hits(radius).double().mean()):6.0f}%" for radius in (0.10, 0.05))


if __name__ == "__main__":
    main()
