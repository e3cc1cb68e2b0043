"""What is drawn of a throw, against the world that makes the throw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_ros.evaluation.scene import Scene
from irl_ros.sim import BatchWorld, load_world

WORLD = load_world()
TARGET = torch.tensor([[0.9, 0.1, 0.0]], dtype=torch.float64)
RELEASE = 24


def swing(k: int) -> torch.Tensor:
    action = torch.full((1, WORLD.action_dim), -1.0, dtype=torch.float64)
    action[0, :-1] = 0.0
    if 10 <= k < 30:
        action[0, [1, 3, 5]] = torch.tensor([0.5, 0.9, 0.8], dtype=torch.float64)
    action[0, -1] = 1.0 if k >= RELEASE else -1.0
    return action


@pytest.fixture(scope="module")
def story() -> list:
    """The states of a throw."""
    world = BatchWorld(WORLD, dtype=torch.float64)
    states = [world.reset(TARGET)]
    states += [world.step(swing(k)) for k in range(WORLD.horizon)]
    assert bool(states[-1].landed)
    return states


def show(scene: Scene, state) -> None:
    scene.joints(state.q[0].numpy(), state.qd[0].numpy())
    scene.ball_at(state.ball_position[0].numpy(), state.ball_velocity[0].numpy())


def test_the_arc_ends_where_the_ball_will_land(story):
    scene, landing = Scene(WORLD), story[-1].ball_position[0].numpy()
    scene.target = TARGET[0].numpy()
    for state in story[RELEASE + 6 : RELEASE + 9]:
        show(scene, state)
        assert not scene.held
        assert scene.arc()[-1] == pytest.approx(landing, abs=1e-6)
        assert len(scene.arc()) <= 30
    show(scene, story[RELEASE])
    assert scene.held and scene.arc()[-1] == pytest.approx(landing, abs=1e-6), "let go now, it flies this way"


def test_a_landing_is_counted_once_with_its_miss(story):
    scene = Scene(WORLD)
    scene.target = TARGET[0].numpy()
    for state in [*story, story[-1], story[0], story[1]]:
        show(scene, state)
    ((where, miss),) = scene.landings
    landing = story[-1].ball_position[0].numpy()
    assert where == pytest.approx(landing)
    assert miss == pytest.approx(np.linalg.norm((landing - scene.target)[:2]))


def test_the_arm_is_drawn_from_its_base_to_the_ball_it_holds(story):
    scene = Scene(WORLD)
    assert scene.arm().shape == (0, 3) and scene.arc().shape == (0, 3)
    show(scene, story[RELEASE])
    line = scene.arm()
    assert line.shape == (WORLD.robot.n + 2, 3) and not line[0].any()
    assert line[-1] == pytest.approx(story[RELEASE].ball_position[0].numpy(), abs=1e-9)
