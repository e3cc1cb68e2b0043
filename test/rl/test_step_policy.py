"""The policy a control loop asks decides as the one that was trained."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from irl_ros.rl.policy import Policy
from irl_ros.rl.step_policy import StepPolicy
from irl_ros.sim import BatchWorld, State, World, load_world

WORLDS = ("default", "drag", "iiwa")


def world(name: str, tmp_path) -> World:
    if name == "default":
        return load_world()
    path = tmp_path / "world.yaml"
    path.write_text({"drag": "ball: {drag: 0.47}\n", "iiwa": "robot: iiwa\n"}[name])
    return load_world("iiwa" if name == "iiwa" else path)


def states(w: World) -> State:
    """Of eager throws: held, flying and landed, [T + 1, N]."""
    torch.manual_seed(0)
    arms = BatchWorld(w)
    seen = [arms.reset(w.sample_targets(8, torch.Generator().manual_seed(0)))]
    for k in range(w.horizon):
        action = torch.rand(8, w.action_dim) * 2 - 1
        action[:, -1] = torch.where(torch.arange(8) * 5 + 5 < k, 1.0, -1.0)
        seen.append(arms.step(action))
    return State.stack(seen)


@pytest.mark.parametrize("name", WORLDS)
def test_it_is_the_mode_of_the_policy_in_every_state(name, tmp_path):
    w = world(name, tmp_path)
    policy, seen = Policy(w), states(w)
    policy.observation.freeze(seen)
    for p in policy.parameters():  # far from the small outputs of an untrained one
        p.data.add_(0.2 * torch.randn_like(p))
    step = StepPolicy(policy)
    flat = seen.map(lambda x: x.reshape(-1, *x.shape[2:]))
    wanted = policy.act(flat)
    assert 0.1 < wanted[:, -1].add(1).div(2).mean() < 0.9, "both decisions occur"
    for i in range(0, len(wanted), 7):
        one = flat.map(lambda x, i=i: x[i : i + 1])
        raw = policy.observation.raw(one)[0]
        assert step.raw(one) == pytest.approx(raw.numpy(), abs=2e-5)
        assert step(one) == pytest.approx(wanted[i].numpy(), abs=1e-4)


def test_a_ball_below_the_plane_rests_where_it_stops_rising(tmp_path):
    w = world("default", tmp_path)
    step, policy = StepPolicy(Policy(w)), Policy(w)
    start = BatchWorld(w).reset(w.sample_targets(1, torch.Generator().manual_seed(0)))
    for height, up in ((-0.2, 0.5), (-0.2, 3.0), (-0.2, -1.0)):
        low = dataclasses.replace(
            start,
            ball_position=torch.tensor([[0.5, 0.1, height]]),
            ball_velocity=torch.tensor([[1.0, 0.3, up]]),
        )
        assert step.raw(low) == pytest.approx(policy.observation.raw(low)[0].numpy(), abs=1e-5)
