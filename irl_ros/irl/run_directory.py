"""A RUN directory: everything a learning run leaves, and what is needed to repeat or resume it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from irl_ros import __version__
from irl_ros.errors import InputError, unknown_name
from irl_ros.rl.throw_task import Starts
from irl_ros.settings import as_dict, load_yaml, save_yaml
from irl_ros.sim.world import World, load_world

DESCRIBED = ("verb", "seed", "sim", "device", "world", "robot", "settings")
"""Keys that run.yaml has whatever verb wrote it."""
PACKAGES = ("torch", "numpy", "pybullet", "rosbags", "safetensors")


class RunDirectory:
    """Paths and small files of a RUN.

    Args:
        path: the directory; made by `create`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint"
        self.clone = self.path / "bc"

    @property
    def finished(self) -> bool:
        """Learning has come to its end here."""
        return (self.path / "policy.yaml").is_file()

    def create(self, description: dict[str, Any]) -> None:
        """Make the directory and write run.yaml.

        Raises:
            InputError: the directory cannot be made or written to.
        """
        versions = {"irl_ros": __version__, "python": platform.python_version()}
        versions |= {p: metadata.version(p) for p in PACKAGES}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            save_yaml(self.path / "run.yaml", {**description, "versions": versions})
        except OSError as error:
            raise InputError(
                self.path, f"cannot be written ({error.strerror})", "choose another --out"
            ) from None

    def description(self) -> dict[str, Any]:
        """What run.yaml says.

        Raises:
            InputError: there is no run here, or its run.yaml is damaged.
        """
        if not (self.path / "run.yaml").is_file():
            raise InputError(
                self.path, "holds no run.yaml", "give the --out of `irl-ros learn` or `transfer`"
            )
        description = load_yaml(self.path / "run.yaml")
        if missing := [k for k in DESCRIBED if k not in description]:
            cure = "restore the file, or learn again"
            raise InputError(self.path / "run.yaml", f"lacks the key '{missing[0]}'", cure)
        return description

    def refuse_if_taken(self) -> None:
        """Refuse to write over something.

        Raises:
            InputError: the directory exists and is not empty.
        """
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            cure = (
                "--resume goes on with it" if (self.path / "run.yaml").is_file() else "choose another --out"
            )
            raise InputError(self.path, "exists already", cure)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(
                json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}) + "\n"
            )

    def keep_metrics(self, iterations: int) -> None:
        """Drop the lines after `iterations`: they were written after the checkpoint that is resumed."""
        if self.metrics.is_file():
            kept = [x for x in read_metrics(self.path) if x["iteration"] <= iterations]
            part = self.metrics.with_name("metrics.part")
            part.write_text("".join(json.dumps(x) + "\n" for x in kept))
            os.replace(part, self.metrics)

    def save_starts(self, starts: Starts) -> None:
        """Keep where throws start, for a later evaluation or transfer."""
        if starts is not None:
            tensors = {"q": starts[0].contiguous(), "qd": starts[1].contiguous()}
            (self.path / "starts.safetensors").write_bytes(save(tensors))


def read_metrics(run: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a last line cut by a kill is left out."""
    path = Path(run) / "metrics.jsonl"
    lines = []
    for text in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def load_starts(run: str | Path, world: World) -> Starts:
    """Where throws start in this world, [M, n] each: None is home; a run keeps the demonstrated starts.

    Raises:
        InputError: the run keeps none, they are of another robot, or the file is damaged.
    """
    if world.settings.start == "home":
        return None
    path = Path(run) / "starts.safetensors"
    if not path.is_file():
        problem = f"keeps no demonstrated starts, which world '{world.name}' asks for (start: demos)"
        raise InputError(run, problem, "learn with a world that has `start: demos`, or use `start: home`")
    try:
        tensors = load_file(path)
        starts = tensors["q"], tensors["qd"]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(path, f"is damaged ({error})", "learn again or restore the file") from None
    recorded = RunDirectory(run).description()["robot"]
    if recorded["sha256"] != world.robot.sha256:
        problem = f"has starts of robot '{recorded['name']}', not of '{world.robot.name}'"
        raise InputError(path, problem, "use a world with `start: home`")
    return starts


def describe_world(world: World) -> dict[str, Any]:
    """A world as run.yaml keeps it."""
    return {"name": world.name, "sha256": world.sha256, "settings": as_dict(world.settings)}


def restore_world(description: dict[str, Any]) -> World:
    """The world a run.yaml describes."""
    world = load_world(description["settings"])
    return dataclasses.replace(world, name=description["name"])


def choose_device(device: str, sim: str = "batch") -> torch.device:
    """Where learning runs; "auto" is a GPU where there is one and the simulator can use it.

    Raises:
        InputError: an unknown device, a GPU that is not there, or a GPU for PyBullet.
    """
    usable = torch.cuda.is_available() and sim != "pybullet"
    if device == "auto":
        return torch.device("cuda" if usable else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise InputError("--device", *unknown_name("device", device, ("auto", "cpu", "cuda")))
    if chosen.type == "cuda" and sim == "pybullet":
        raise InputError("--device", "PyBullet throws on the CPU", "use auto or cpu, or --sim batch")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError("--device", f"this machine has no usable CUDA GPU '{device}'", "use auto or cpu")
    return chosen


def as_paths(paths: Sequence[str | Path] | str | Path) -> list[str]:
    """One path or many, as texts."""
    return [str(p) for p in ([paths] if isinstance(paths, (str, Path)) else paths)]
