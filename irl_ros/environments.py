"""Makes our environments known to Gymnasium when imported; nothing of theirs is before one is made."""

from __future__ import annotations

import gymnasium

THROW = "irl_ros/Throw-v0"

gymnasium.register(
    THROW,
    entry_point="irl_ros.sim.throw_env:ThrowEnv",
    vector_entry_point="irl_ros.sim.throw_vector_env:ThrowVectorEnv",
)
