"""Small networks, and files of their weights. Above the rooms because rewards and policies both need them."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from irl_ros.errors import InputError


def mlp(sizes: list[int], last_gain: float = 1.0, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """A multilayer perceptron with orthogonal weights; the last layer scaled by `last_gain`."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        linear = nn.Linear(a, b)
        last = i == len(sizes) - 2
        nn.init.orthogonal_(linear.weight, last_gain if last else 2**0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear] if last else [linear, activation()]
    return nn.Sequential(*layers)


def weights_sha256(module: nn.Module) -> str:
    """Hash of a module's parameters and buffers, wherever they live."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's parameters and buffers as safetensors."""
    # safetensors' own save_file makes files that only their owner can read
    path.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}))


def load_weights(module: nn.Module, path: Path, sha256: str | None = None) -> None:
    """Fill a module from a safetensors file.

    Args:
        module: of the shape that was saved.
        path: the file.
        sha256: what `weights_sha256` was when the file was written; None: not known.

    Raises:
        InputError: the file is missing, damaged or of another shape.
    """
    try:
        module.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"is damaged ({error})", "learn again or restore the file") from None
    except RuntimeError as error:
        detail = str(error).strip().splitlines()[-1].strip()
        raise InputError(path, f"does not fit its description ({detail})") from None
    if sha256 is not None and weights_sha256(module) != sha256:
        problem = "is damaged (its weights are not those whose hash its description has)"
        raise InputError(path, problem, "learn again or restore the file")
