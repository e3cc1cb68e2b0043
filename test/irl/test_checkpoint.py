"""A checkpoint survives a kill between any two things it does to the file system, also twice in a row."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.irl import checkpoint
from irl_ros.irl.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test may catch it."""


def state(number: int) -> dict[str, Any]:
    return {"round": number, "weights": torch.full((3,), float(number))}


@contextmanager
def killed_at(call: int) -> Iterator[None]:
    """Every change to the file system counts; the call-th one is not done. A deleted folder dies halfway."""
    count = itertools.count()

    def counted(f: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if next(count) == call:
                if f is rmtree and Path(args[0]).is_dir():
                    sorted(Path(args[0]).iterdir())[0].unlink()
                elif f is save:
                    args[1].write_bytes(b"half a file")
                elif f is write:
                    write(args[0], args[1][: len(args[1]) // 2])
                raise Killed
            return f(*args, **kwargs)

        return wrapped

    rmtree, save, write = shutil.rmtree, checkpoint.save_file, Path.write_text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", counted(rmtree))
        patch.setattr(checkpoint, "save_file", counted(save))
        patch.setattr(Path, "write_text", counted(write))
        for name in ("mkdir", "rename", "replace"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        yield


def save_until_killed(folder: Path, number: int, call: int) -> bool:
    """Whether the checkpoint was finished before its `call`-th step."""
    try:
        with killed_at(call):
            save_checkpoint(folder, state(number))
    except Killed:
        return False
    return True


def steps(folder: Path, number: int) -> int:
    """How many changes to the file system a save makes."""
    return next(k for k in itertools.count() if save_until_killed(folder, number, k))


def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint", state(0))
    for k in itertools.count():
        done = save_until_killed(tmp_path / "checkpoint", k + 1, k)
        found = load_checkpoint(tmp_path / "checkpoint")
        assert found is not None, f"killed at step {k}"
        assert found["round"] in ((k + 1,) if done else (k, k + 1)), f"killed at step {k}"
        assert torch.equal(found["weights"], torch.full((3,), float(found["round"])))
        if done:
            break
        save_checkpoint(tmp_path / "checkpoint", state(k + 1))
    assert k >= 6
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


def test_nor_do_two_kills_lose_it(tmp_path: Path) -> None:
    count = steps(tmp_path / "any" / "checkpoint", 0) + 2
    for first, second in itertools.product(range(count), repeat=2):
        folder = tmp_path / f"{first}_{second}" / "checkpoint"
        save_checkpoint(folder, state(0))
        save_until_killed(folder, 1, first)
        save_until_killed(folder, 2, second)
        found = load_checkpoint(folder)
        assert found is not None, f"killed at step {first}, then at {second}"
        assert torch.equal(found["weights"], torch.full((3,), float(found["round"])))


def test_the_first_checkpoint_is_there_or_not(tmp_path: Path) -> None:
    for k in itertools.count():
        folder = tmp_path / str(k) / "checkpoint"
        if save_until_killed(folder, 1, k):
            break
        found = load_checkpoint(folder)
        assert found is None or found["round"] == 1
    assert find_checkpoint(folder) == folder


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(3)).sum().backward()
    optimizer.step()
    before = {
        "optimizer": optimizer.state_dict(),
        "same memory": [shared, shared[2:4], shared.reshape(2, 3).T],
        "flags": torch.tensor([True, False]),
        "bytes": torch.get_rng_state(),
        "empty": {},
        "nothing": None,
        "number": 1.25,
        "text": "ψ / θ",
        5: -1,
    }
    save_checkpoint(tmp_path / "checkpoint", before)
    after = load_checkpoint(tmp_path / "checkpoint")
    assert list(after) == list(before)
    for a, b in zip(after["same memory"], before["same memory"]):
        assert torch.equal(a, b)
    assert torch.equal(after["flags"], before["flags"]) and after["flags"].dtype == torch.bool
    assert torch.equal(after["bytes"], before["bytes"])
    assert [after[k] for k in ("empty", "nothing", "number", "text", 5)] == [{}, None, 1.25, "ψ / θ", -1]
    other = torch.optim.AdamW(torch.nn.Linear(3, 2).parameters(), lr=7.0)
    other.load_state_dict(after["optimizer"])
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert torch.equal(other.state_dict()["state"][0]["exp_avg"], before["optimizer"]["state"][0]["exp_avg"])
    assert {p.suffix for p in (tmp_path / "checkpoint").iterdir()} == {".safetensors", ".json"}


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint") is None
    assert find_checkpoint(tmp_path / "checkpoint") is None


def test_damage_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    weights, skeleton = folder / "state.safetensors", folder / "state.json"
    damages = [
        lambda: weights.unlink(),
        lambda: weights.write_bytes(weights.read_bytes()[:40]),
        lambda: skeleton.write_text(skeleton.read_text()[:-9]),
        lambda: skeleton.write_text(json.dumps({"tensor": "/no/such"})),
        lambda: skeleton.write_text("[]"),
        lambda: skeleton.write_text("3"),
    ]
    for damage in damages:
        save_checkpoint(folder, state(1))
        damage()
        with pytest.raises(InputError, match="is damaged") as caught:
            load_checkpoint(folder)
        assert "\n" not in str(caught.value) and "checkpoint" in str(caught.value)
