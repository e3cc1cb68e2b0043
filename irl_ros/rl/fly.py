"""Whole throws of a policy in compiled code, where simulator and policy allow it."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.rl.agent import Actor
from irl_ros.rl.observation import Observation
from irl_ros.rl.policy import Policy
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.pilot import Piloted
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.throw_layout import TOGETHER


@torch.no_grad()
def fly(
    simulator: Simulator,
    observation: Observation,
    policy: Actor,
    targets: Tensor,
    start: tuple[Tensor, Tensor] | None = None,
    conditions: Conditions | None = None,
    explore: bool = True,
) -> Piloted | None:
    """Whole throws at `targets` [N, 3]; noise is drawn by torch's global generator of the device.

    Args:
        simulator: where.
        observation: what the policy is shown.
        policy: what throws.
        targets, start, conditions: as in `BatchWorld.reset`.
        explore: draw actions; else the policy's likeliest ones, before the world clips them.

    Returns:
        None, and nothing is simulated, where it has to go step by step: another simulator or kind of policy,
        no compiled code, commands or readings that are disturbed.
    """
    if not isinstance(simulator, BatchWorld) or type(policy) is not Policy:
        return None
    pilot = policy.pilot(observation)
    if not simulator.pilots(pilot):
        return None
    world, count = simulator.world, len(targets)
    blocks = -(-count // TOGETHER)
    shape = blocks, world.horizon, world.action_dim, TOGETHER
    if explore:
        noise = torch.randn(shape, device=simulator.device)
        noise[:, :, -1] = torch.logit(torch.rand(blocks, world.horizon, TOGETHER, device=simulator.device))
    else:
        noise = torch.zeros(shape, device=simulator.device)
    return simulator.fly(pilot, noise, targets, start, conditions)
