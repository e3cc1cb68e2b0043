"""`learn`: what it leaves, and bad input that leaves nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.throws_bag import write_throws
from irl_ros.errors import InputError
from irl_ros.irl.learn import LearnSettings, learn
from irl_ros.irl.run_directory import RunDirectory, read_metrics
from irl_ros.irl.transfer import TransferSettings
from irl_ros.rewards.reward import load_reward
from irl_ros.rl.policy import load_policy
from irl_ros.settings import as_dict, build, override
from irl_ros.sim import Throws, World, load_world


def test_a_run_holds_all_that_is_needed_to_repeat_it(uninterrupted: Path, bags: Path, world: World) -> None:
    description = yaml.safe_load((uninterrupted / "run.yaml").read_text())
    assert description["verb"] == "learn" and description["algo"] == "airl"
    assert description["seed"] == 0 and description["sim"] == "batch"
    assert description["demos"]["paths"] == [str(bags)]
    assert description["demos"]["sha256"] == load_demonstrations(bags, world).sha256
    assert description["demos"]["episodes"] == 4
    assert description["robot"] == {"name": "panda", "sha256": world.robot.sha256}
    assert description["world"]["sha256"] == world.sha256
    assert description["settings"]["airl"]["ppo"]["episodes"] == 16
    assert description["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_its_files(uninterrupted: Path) -> None:
    names = {p.name for p in uninterrupted.iterdir()}
    assert {
        "run.yaml",
        "policy.safetensors",
        "policy.yaml",
        "reward.safetensors",
        "reward.yaml",
        "metrics.jsonl",
        "checkpoint",
        "bc",
    } <= names
    assert any(n.startswith("events.out.tfevents") for n in names)
    assert not any(n.endswith((".part", ".new", ".old", ".pt", ".pth", ".pkl")) for n in names)
    world = load_policy(uninterrupted).world
    assert world.name == "default"
    assert load_policy(uninterrupted / "bc").sha256 != load_policy(uninterrupted).sha256
    load_reward(uninterrupted)


def test_its_metrics(uninterrupted: Path) -> None:
    lines = read_metrics(uninterrupted)
    assert [m["iteration"] for m in lines] == list(range(1, 7))
    assert [m["state"] for m in lines] == ["learning"] * 4 + ["polish", "done"]
    wrong = lines[0]["env_steps"] - 2 * 16 * 60  # those who throw wrongly on purpose, before the first round
    made = [2 * 16 * 60] * 4 + [16 * 60] * 2  # the rival throws as much as the policy
    assert wrong == 4 * 8 * 60
    assert [m["env_steps"] for m in lines] == [wrong + sum(made[: i + 1]) for i in range(6)]
    assert {m["iterations"] for m in lines} == {6}
    assert lines[-1]["remaining_s"] == 0.0
    for line in lines:
        assert {"wall_s", "steps_per_s", "hit_10cm", "hit_5cm", "reward_mean"} <= set(line)
        assert all(math.isfinite(v) for v in line.values() if isinstance(v, float))
    assert all("discriminator_accuracy" in m for m in lines[:4])
    walls = [m["wall_s"] for m in lines]
    assert walls == sorted(walls)


def test_cloning_alone(bags: Path, tmp_path: Path, quick: tuple[str, ...], uninterrupted: Path) -> None:
    run = learn([bags], tmp_path / "bc", algo="bc", device="cpu", overrides=quick)
    assert load_policy(run).sha256 == load_policy(uninterrupted / "bc").sha256
    other = learn([bags], tmp_path / "other", algo="bc", device="cpu", seed=1, overrides=quick)
    assert load_policy(other).sha256 != load_policy(run).sha256
    with pytest.raises(InputError, match=r"holds no reward\.yaml"):
        load_reward(run)


def test_throws_begin_where_demonstrations_began_if_the_world_says_so(
    bags: Path, tmp_path: Path, quick: tuple[str, ...]
) -> None:
    world = tmp_path / "demos.yaml"
    world.write_text("start: demos\n")
    short = ("airl.iterations=1", "polish.iterations=1")
    run = learn([bags], tmp_path / "run", world=world, device="cpu", overrides=[*quick, *short])
    starts = load_file(run / "starts.safetensors")
    first = load_demonstrations(bags, load_world(world)).throws.states[:, 0]
    assert torch.equal(starts["q"], first.q) and torch.equal(starts["qd"], first.qd)


def test_it_learns_in_pybullet_too(
    bags: Path, tmp_path: Path, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("irl_ros.rl.throw_task.PRACTICE_THROWS", 20)
    short = ("airl.iterations=1", "airl.ppo.episodes=4", "airl.sampler_episodes=2", "polish.iterations=0")
    run = learn([bags], tmp_path / "run", sim="pybullet", overrides=[*quick, *short])
    assert len(read_metrics(run)) == 1
    settings = RunDirectory(run).description()["settings"]
    assert settings["polish"]["ppo"]["minibatches"] == 4  # PyBullet's default
    assert settings["airl"]["ppo"]["episodes"] == 4  # unless the user says otherwise
    load_policy(run)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_it_learns_and_resumes_on_a_gpu(
    bags: Path, tmp_path: Path, quick: tuple[str, ...], interrupt_after: Callable[[int], None]
) -> None:
    whole = learn([bags], tmp_path / "whole", device="cuda", overrides=quick)
    interrupt_after(5)
    with pytest.raises(KeyboardInterrupt):
        learn([bags], tmp_path / "stopped", device="cuda", overrides=quick)
    resumed = learn([], tmp_path / "stopped", resume=True)
    states = load_demonstrations(bags, load_world()).throws.states
    for a, b in (
        (load_policy(whole).act, load_policy(resumed).act),
        (load_reward(whole), load_reward(resumed)),
    ):
        torch.testing.assert_close(a(states), b(states), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"algo": "arl"}, "unknown algorithm 'arl'; did you mean 'airl'"),
        ({"sim": "gazebo"}, "unknown simulator 'gazebo'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"world": "moon"}, "unknown world 'moon'"),
        ({"overrides": ["airl.iteration=5"]}, "unknown key 'airl.iteration'; did you mean 'airl.iterations'"),
        ({"overrides": ["iterations=5"]}, "unknown key 'iterations'"),
        ({"overrides": ["airl.iterations"]}, "is not key=value"),
        ({"overrides": ["airl.iterations=many"]}, "airl.iterations: expected a whole number, found 'many'"),
        ({"overrides": ["airl.ppo.minibatches=0"]}, "minibatches: must be at least 1"),
        ({"overrides": ["trainer.checkpoint_every=0"]}, "checkpoint_every: must be at least 1"),
        ({"overrides": ["bc.batch=0"]}, "batch: must be at least 1"),
        ({"overrides": ["reward.features=pixels"]}, "unknown features 'pixels'; known: distance, offset"),
        ({"config": "missing.yaml"}, "missing.yaml: no such file"),
        ({"paths": ["nowhere"]}, "nowhere"),
        ({"world": {"robot": "iiwa"}}, "panda_joint1|lbr_iiwa|joint"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_bad_input_is_one_line_and_leaves_nothing(
    bags: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    if isinstance(changes.get("world"), dict):
        (tmp_path / "world.yaml").write_text(json.dumps(changes["world"]))
        changes = {"world": tmp_path / "world.yaml"}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        learn(**{"paths": [bags], "out": tmp_path / "run", **changes})
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_written_over(uninterrupted: Path, bags: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*")}
    with pytest.raises(InputError, match="exists already; --resume"):
        learn([bags], uninterrupted)
    assert {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*")} == before


def test_a_config_file_and_overrides_on_top(bags: Path, tmp_path: Path, quick: tuple[str, ...]) -> None:
    config = tmp_path / "learn.yaml"
    config.write_text("bc: {steps: 3, batch: 32}\npolicy: {hidden: [16]}\n")
    run = learn([bags], tmp_path / "run", algo="bc", config=config, overrides=["bc.steps=2"])
    settings = yaml.safe_load((run / "run.yaml").read_text())["settings"]
    assert settings["bc"]["steps"] == 2 and settings["bc"]["batch"] == 32
    assert load_policy(run).net[0].out_features == 16


def test_one_override_changes_one_setting() -> None:
    """Settings nested in others keep the defaults they have there, which are not those of their own class."""
    for cls, key in ((LearnSettings, "polish.ppo.episodes"), (TransferSettings, "reoptimise.ppo.episodes")):
        changed = as_dict(build(cls, override({}, [f"{key}=7"]), "--set"))
        expected = override(as_dict(cls()), [f"{key}=7"])
        assert changed == expected != as_dict(cls())
    settings = build(TransferSettings, {"reoptimise": {"settle": 0.1}, "policy": {"hidden": [8]}}, "--set")
    assert settings.reoptimise.iterations == TransferSettings().reoptimise.iterations
    assert settings.policy.log_std == TransferSettings().policy.log_std


def test_one_world_one_robot(world: World, operator_throws: Throws, tmp_path: Path) -> None:
    """Bags of one arm are no demonstrations for another, however many joints both have."""
    bag = write_throws(tmp_path / "bags", world, operator_throws[:1])
    with pytest.raises(InputError, match="joint"):
        load_demonstrations(bag, load_world({"robot": "iiwa"}))
