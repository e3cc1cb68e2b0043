#!/usr/bin/env python3
"""The picture in README: one ordinary throw of a learned policy in PyBullet, in frames.

python benchmarks/picture.py RUN docs/images/throw.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.image import imsave

from irl_ros.evaluation.evaluate import EVALUATION_SEED, unseen
from irl_ros.evaluation.landings import typical
from irl_ros.rl.policy import load_policy
from irl_ros.sim import BulletPool, render_throw


def main() -> None:
    """Throw, choose the most ordinary throw, render it."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("run", type=Path)
    p.add_argument("out", type=Path)
    o = p.parse_args()
    policy = load_policy(o.run)
    with BulletPool(policy.world) as pool:
        throws = pool.throw(policy.act, policy.world.sample_targets(40, unseen(EVALUATION_SEED)))
    frames = render_throw(policy.world, throws, typical(throws), frames=8, size=(300, 260))
    imsave(o.out, np.vstack((np.hstack(frames[:4]), np.hstack(frames[4:]))))
    print(o.out)


if __name__ == "__main__":
    main()
