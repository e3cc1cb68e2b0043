"""A RUN directory: everything a learning run leaves, and what is needed to repeat or resume it."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from irl_ros import __version__
from irl_ros.errors import InputError
from irl_ros.rl.ppo import Starts
from irl_ros.settings import as_dict, load_yaml
from irl_ros.sim.world import World, load_world

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
        """Make the directory and write run.yaml."""
        self.path.mkdir(parents=True, exist_ok=True)
        versions = {"irl_ros": __version__, "python": platform.python_version()}
        versions |= {p: metadata.version(p) for p in PACKAGES}
        text = yaml.safe_dump({**description, "versions": versions}, sort_keys=False, allow_unicode=True)
        (self.path / "run.yaml").write_text(text)

    def description(self) -> dict[str, Any]:
        """What run.yaml says.

        Raises:
            InputError: there is no run here.
        """
        if not (self.path / "run.yaml").is_file():
            raise InputError(
                self.path, "holds no run.yaml", "give the --out of `irl-ros learn` or `transfer`"
            )
        return load_yaml(self.path / "run.yaml")

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
        with self.metrics.open("a") as file:
            file.write(
                json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}) + "\n"
            )

    def keep_metrics(self, iterations: int) -> None:
        """Drop the lines after `iterations`: they were written after the checkpoint that is resumed."""
        if self.metrics.is_file():
            kept = [x for x in read_metrics(self.path) if x["iteration"] <= iterations]
            self.metrics.write_text("".join(json.dumps(x) + "\n" for x in kept))

    def save_starts(self, starts: Starts) -> None:
        if starts is not None:
            save_file(
                {"q": starts[0].contiguous(), "qd": starts[1].contiguous()}, self.path / "starts.safetensors"
            )


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
    """Where throws start in this world, [M, n] each: None is home; a run keeps the demonstrated starts."""
    if world.settings.start == "home":
        return None
    path = Path(run) / "starts.safetensors"
    if not path.is_file():
        problem = f"keeps no demonstrated starts, which world '{world.name}' asks for (start: demos)"
        raise InputError(run, problem, "learn with a world that has `start: demos`, or use `start: home`")
    tensors = load_file(path)
    return tensors["q"], tensors["qd"]


def describe_world(world: World) -> dict[str, Any]:
    return {"name": world.name, "sha256": world.sha256, "settings": as_dict(world.settings)}


def restore_world(description: dict[str, Any]) -> World:
    """The world a run.yaml describes."""
    world = load_world(description["settings"])
    return World(**{**vars(world), "name": description["name"]})


def choose_device(device: str) -> torch.device:
    """ "auto" is a GPU where there is one.

    Raises:
        InputError: a GPU was asked for and there is none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError("--device", f"unknown device '{device}'", "use auto, cpu or cuda") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InputError("--device", "this machine has no usable CUDA GPU", "use auto or cpu")
    return chosen


def as_paths(paths: Sequence[str | Path] | str | Path) -> list[str]:
    return [str(p) for p in ([paths] if isinstance(paths, (str, Path)) else paths)]
