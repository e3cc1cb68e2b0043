"""Checkpoints without pickle: nested state as one safetensors file and one JSON, replaced atomically."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from irl_ros.errors import InputError


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in `folder` with `state`: dicts and lists of tensors, numbers, texts and None.

    A kill at any moment leaves either the old or the new one: the new one is written beside it and renamed.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _flatten(state, "", tensors)
    new, old = folder.with_suffix(".new"), folder.with_suffix(".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_file(tensors, new / "state.safetensors")
    (new / "state.json").write_text(json.dumps(skeleton))
    if folder.exists():
        # only now: after a kill between the two renames, .old is the only checkpoint there is
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def find_checkpoint(folder: Path) -> Path | None:
    """Where the state saved last lies: `folder`, or the old one that a kill left beside it; None: nowhere."""
    return next((f for f in (folder, folder.with_suffix(".old")) if (f / "state.json").is_file()), None)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The state saved last, with tensors on the CPU, or None where there is none.

    Raises:
        InputError: the checkpoint is damaged.
    """
    found = find_checkpoint(folder)
    if found is None:
        return None
    try:
        tensors = load_file(found / "state.safetensors")
        return _unflatten(json.loads((found / "state.json").read_text()), tensors)
    except (OSError, SafetensorError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(found, f"is damaged ({error})", "delete the run and learn again") from None


def _flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        # a copy each: safetensors refuses tensors that share memory
        tensors[path] = value.detach().cpu().clone().contiguous()
        return {"tensor": path}
    if isinstance(value, dict):
        items = [[k, _flatten(v, f"{path}/{k}", tensors)] for k, v in value.items()]
        return {"dict": items}
    if isinstance(value, (list, tuple)):
        return {"list": [_flatten(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    return {"value": value}


def _unflatten(node: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {k: _unflatten(v, tensors) for k, v in value}
    if kind == "list":
        return [_unflatten(v, tensors) for v in value]
    return value
