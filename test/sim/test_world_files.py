"""World files: what ships loads and throws, says what it is for, and is in the manual."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from irl_ros.resources import config_file, shipped
from irl_ros.settings import build, load_yaml
from irl_ros.sim import BatchWorld, BulletWorld, load_world, throw
from irl_ros.sim.world_settings import WorldSettings


def test_default_yaml_says_what_an_empty_world_is() -> None:
    path = config_file("worlds", "default")
    assert build(WorldSettings, load_yaml(path), path) == WorldSettings()


def test_a_robot_is_looked_for_beside_its_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = config_file("robots", "iiwa").read_text()
    (tmp_path / "arm.yaml").write_text(shipped)
    (tmp_path / "world.yaml").write_text("robot: ./arm.yaml\nhorizon: 50\n")
    monkeypatch.chdir("/")
    world = load_world(tmp_path / "world.yaml")
    assert world.robot.name == "arm" and world.horizon == 50
    # what a bundle stores loads from anywhere
    assert load_world({"robot": world.settings.robot}).robot.sha256 == world.robot.sha256


@pytest.mark.parametrize("name", shipped("worlds"))
def test_a_shipped_world_says_what_it_is_for_and_throws_alike_in_both(name: str) -> None:
    path = config_file("worlds", name)
    first, *_ = path.read_text().splitlines()
    assert first.startswith("# ") and first.endswith(".")
    world = load_world(name)
    assert name == "default" or world.sha256 != load_world("default").sha256

    def swing(state):
        action = torch.full((len(state.phase), world.action_dim), -1.0, dtype=torch.float64)
        action[:, :-1] = (
            torch.tensor(world.action(0.3 * world.robot.velocity)) * torch.sin(5 * state.phase)[:, None]
        )
        action[:, -1] = torch.where(state.phase > 0.35, 1.0, -1.0)
        return action

    targets, conditions = world.sample_targets(2), world.sample_conditions(2)
    batch = throw(BatchWorld(world, dtype=torch.float64), swing, targets, conditions=conditions)
    with BulletWorld(world) as simulator:
        bullet = throw(simulator, swing, targets, conditions=conditions)
    assert batch.outcome.released.all() and torch.isfinite(batch.outcome.landing).all()
    if not bullet.outcome.torque_saturation.any():
        torch.testing.assert_close(batch.outcome.landing, bullet.outcome.landing, rtol=0, atol=1e-6)


def test_every_shipped_world_and_every_key_is_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()
    for name in shipped("worlds"):
        purpose = config_file("worlds", name).read_text().splitlines()[0].removeprefix("# ")
        assert f"| `{name}` | {purpose} |" in manual, name

    def keys(settings: object, prefix: str = "") -> list[str]:
        nested = getattr(settings, "__dataclass_fields__", {})
        return [k for n in nested for k in keys(getattr(settings, n), f"{prefix}.{n}" if prefix else n)] or [
            prefix
        ]

    for key in keys(WorldSettings()):
        assert f"`{key}`" in manual, key


@pytest.mark.parametrize("text", ["1e-4", "1E+2", "2.e3", "+.5e1"])
def test_a_number_may_be_written_with_an_exponent_alone(text, tmp_path) -> None:
    """YAML 1.1 calls it text."""
    (tmp_path / "w.yaml").write_text(f"ball: {{drag: {text}}}\nhorizon: 6e1\n")
    settings = build(WorldSettings, load_yaml(tmp_path / "w.yaml"), "w.yaml")
    assert (settings.ball.drag, settings.horizon) == (float(text), 60)
