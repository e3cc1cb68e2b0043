"""Checkpoints without pickle: nested state as one safetensors file and one JSON, replaced atomically."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
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
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state saved last, or None where there is none.

    Raises:
        InputError: the checkpoint is damaged.
    """
    found = next((f for f in (folder, folder.with_suffix(".old")) if (f / "state.json").is_file()), None)
    if found is None:
        return None
    try:
        tensors = load_file(found / "state.safetensors", device=str(device))
        return _unflatten(json.loads((found / "state.json").read_text()), tensors)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
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
