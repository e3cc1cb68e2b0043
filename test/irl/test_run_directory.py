"""The RUN directory: what is refused, what is kept, where learning runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.irl.run_directory import (
    RunDirectory,
    choose_device,
    describe_world,
    load_starts,
    read_metrics,
    restore_world,
)
from irl_ros.settings import as_dict
from irl_ros.sim import World, load_world


def described(world: World) -> dict[str, object]:
    """What `learn` writes at least."""
    robot = {"name": world.robot.name, "sha256": world.robot.sha256}
    return {
        "verb": "learn",
        "seed": 0,
        "sim": "batch",
        "device": "cpu",
        "world": describe_world(world),
        "robot": robot,
        "settings": {},
    }


def test_a_world_comes_back_from_its_description(tmp_path: Path) -> None:
    world = load_world("weak_wrist", ["target.height=0.2"])
    run = RunDirectory(tmp_path / "run")
    run.create(described(world))
    back = restore_world(run.description()["world"])
    assert back.name == "weak_wrist" and back.sha256 == world.sha256
    assert as_dict(back.settings) == as_dict(world.settings)
    assert set(run.description()["versions"]) >= {"irl_ros", "python", "torch", "pybullet"}


def test_only_new_or_empty_places_are_taken(tmp_path: Path, world: World) -> None:
    RunDirectory(tmp_path / "new").refuse_if_taken()
    (tmp_path / "empty").mkdir()
    RunDirectory(tmp_path / "empty").refuse_if_taken()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    with pytest.raises(InputError, match="choose another --out"):
        RunDirectory(tmp_path / "notes").refuse_if_taken()
    with pytest.raises(InputError, match="exists already"):
        RunDirectory(tmp_path / "notes" / "mine.txt").refuse_if_taken()
    run = RunDirectory(tmp_path / "empty")
    run.create(described(world))
    with pytest.raises(InputError, match="--resume"):
        run.refuse_if_taken()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, world: World) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        RunDirectory(tmp_path / "file" / "run").create(described(world))


def test_a_damaged_description_is_one_line(tmp_path: Path, world: World) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create(described(world))
    (run.path / "run.yaml").write_text("verb: learn\n")
    with pytest.raises(InputError, match="lacks the key 'seed'"):
        run.description()


def test_metrics_keep_only_the_rounds_asked_for(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for i in range(1, 6):
        run.append_metrics({"iteration": i, "x": 0.1234567})
    with run.metrics.open("a") as file:
        file.write('{"iteration": 6, "x"')  # a kill in mid-write
    assert [m["iteration"] for m in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
    run.keep_metrics(3)
    run.append_metrics({"iteration": 4, "x": 1.0})
    lines = [json.loads(text) for text in run.metrics.read_text().splitlines()]
    assert [m["iteration"] for m in lines] == [1, 2, 3, 4]
    assert lines[0]["x"] == 0.123457
    run.keep_metrics(0)
    assert run.metrics.read_text() == ""


def test_starts_are_kept_for_worlds_that_ask_for_them(tmp_path: Path, world: World) -> None:
    demos = load_world({"start": "demos"})
    run = RunDirectory(tmp_path)
    run.create(described(demos))
    assert load_starts(tmp_path, world) is None
    with pytest.raises(InputError, match="keeps no demonstrated starts"):
        load_starts(tmp_path, demos)
    q, qd = torch.rand(5, 7), torch.rand(5, 7)
    run.save_starts((q, qd))
    starts = load_starts(tmp_path, demos)
    assert torch.equal(starts[0], q) and torch.equal(starts[1], qd)
    with pytest.raises(InputError, match="has starts of robot 'panda', not of 'iiwa'"):
        load_starts(tmp_path, load_world({"robot": "iiwa", "start": "demos"}))
    (tmp_path / "starts.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="is damaged"):
        load_starts(tmp_path, demos)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu").type == "cpu"
    for wrong in ("gpu", "meta", "cuda:x", ""):
        with pytest.raises(InputError, match=f"unknown device '{wrong}'"):
            choose_device(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(InputError, match="no usable CUDA GPU"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(InputError, match="no usable CUDA GPU 'cuda:1'"):
        choose_device("cuda:1")
    # PyBullet's tensors are on the CPU, and so must the policy be
    assert choose_device("auto", "pybullet").type == "cpu"
    with pytest.raises(InputError, match="PyBullet throws on the CPU"):
        choose_device("cuda", "pybullet")
