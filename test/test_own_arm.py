"""A user's own arm, from a YAML of ten lines in a folder of its own: endless joints, a rail, no meshes.

What works on the arms that ship has to work on it, all the way from a person's throws to a learned policy.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from irl_ros.demos.faults import load_operator
from irl_ros.demos.operator import demonstrate
from irl_ros.demos.throws_bag import write_throws
from irl_ros.evaluation.evaluate import evaluate
from irl_ros.irl.learn import learn
from irl_ros.irl.swing_grid import reaches
from irl_ros.rewards.reward import load_reward
from irl_ros.rl.policy import load_policy
from irl_ros.safety import JointReading, SafetyFilter
from irl_ros.sim import BatchWorld, BulletWorld, State, World, load_world, render_throw, throw

QUICK = ("airl.iterations=1", "airl.ppo.episodes=16", "polish.iterations=1", "polish.ppo.episodes=16")


@pytest.fixture
def world(own_arm: Path) -> World:
    return load_world({"robot": str(own_arm)})


def test_it_is_found_from_any_directory(
    own_arm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_arm.parent / "world.yaml").write_text("robot: own.yaml\nhorizon: 50\n")
    monkeypatch.chdir(own_arm.parent)
    here = [load_world(name) for name in ("world.yaml", {"robot": "own.yaml"})]
    assigned = load_world("default", ["robot=own.yaml"])
    monkeypatch.chdir(tmp_path)
    kept = [load_world({"robot": world.settings.robot}).robot for world in (*here, assigned)]
    assert len({robot.sha256 for robot in kept}) == 1
    assert [j for j, low in zip(kept[0].joints, kept[0].lower, strict=True) if low == -math.inf] == [
        "turn",
        "swing",
        "flick",
    ]


def test_its_motion_in_the_batched_world_is_pybullets(world: World) -> None:
    generator = torch.Generator().manual_seed(0)
    actions = 0.5 * torch.randn(1, world.action_dim, generator=generator, dtype=torch.float64).clamp(-1, 1)
    actions = actions * torch.sin(0.2 * torch.arange(40))[:, None]
    actions[:, -1] = torch.where(torch.arange(40) >= 20, 1.0, -1.0)
    batch = BatchWorld(world, dtype=torch.float64)
    target = torch.tensor([[0.9, 0.0, 0.0]])
    with BulletWorld(world) as bullet:
        batch.reset(target), bullet.reset(target)
        for action in actions:
            ours, truth = batch.step(action[None]), bullet.step(action[None])
        assert float(bullet.outcome().torque_saturation) == 0.0
    torch.testing.assert_close(ours.q, truth.q, atol=1e-9, rtol=0)
    torch.testing.assert_close(ours.ball_position, truth.ball_position, atol=1e-6, rtol=0)
    assert float(ours.q[0, 0] - world.home[0]) != 0.0  # the rail slid


def test_from_a_persons_throws_to_a_policy(world: World, own_arm: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    throws = demonstrate(world, load_operator("clean"), episodes=8, seed=0)
    assert float((throws.outcome.error <= 0.10).float().mean()) >= 0.5
    assert int(throws.outcome.limit_violations.sum()) == 0
    write_throws(tmp_path / "bags", world, throws)
    (own_arm.parent / "world.yaml").write_text("robot: own.yaml\n")
    place = own_arm.parent / "world.yaml"
    run = learn([tmp_path / "bags"], tmp_path / "run", world=place, device="cpu", overrides=QUICK)
    assert load_policy(run).world.robot.sha256 == world.robot.sha256
    assert load_reward(run).world.robot.name == "own"
    figures = evaluate(run / "bc", throws=50, sim="batch")
    assert figures["hit_10cm"] > 0.2  # an arm that is not understood hits nothing
    assert figures["limit_violations"] == 0


def test_its_ways_to_carry_a_ball_are_finite(world: World) -> None:
    home = torch.as_tensor(world.home, dtype=torch.float32)
    velocity = reaches(BatchWorld(world), (home, torch.zeros_like(home)), 4)
    assert torch.isfinite(velocity).all()
    assert float(velocity.abs().max()) <= 1.0 + 1e-5


def test_the_safety_filter_passes_joints_without_limits(world: World) -> None:
    limited = SafetyFilter(world)
    q, qd, now = world.home.copy(), np.zeros(world.robot.n), 0.0
    limited(np.zeros(world.action_dim), JointReading(world.robot.joints, q, qd, now), now)
    limited.enable()
    for _ in range(80):
        wrapped = [math.remainder(x, 2 * math.pi) for x in q]  # as drivers of continuous joints may
        reading = JointReading(world.robot.joints, wrapped, qd, now)
        decision = limited(np.array([0.0, 1.0, 1.0, 0.0, 1.0, -1.0]), reading, now)
        q, qd, now = q + world.dt * decision.velocity, decision.velocity, now + world.dt
    assert limited.reason is None
    assert q[1] > math.pi
    np.testing.assert_allclose(decision.velocity[[1, 2, 4]], world.velocity[[1, 2, 4]], rtol=1e-6)


def test_it_is_drawn_without_meshes(world: World) -> None:
    def still(state: State) -> torch.Tensor:
        return torch.zeros(1, world.action_dim)

    kept = throw(BatchWorld(world), still, torch.tensor([[0.9, 0.0, 0.0]]))
    assert render_throw(world, kept, 0, frames=1, size=(80, 60))[0].shape == (60, 80, 3)
