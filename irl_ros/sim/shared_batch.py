"""SharedBatch: tensors of N rows in memory that several processes see."""

from __future__ import annotations

import mmap
import os
from multiprocessing import reduction
from typing import Any

import torch
from torch import Tensor

ALIGNED = 64  # bytes: each tensor starts on a cache line of its own
Layout = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""Name → dtype and shape of one row."""


class SharedBatch:
    """Named tensors [N, …] in anonymous shared memory.

    The memory has no name in the file system: it is gone when the last process that has it is, however that
    process ended. Handed to a process as it starts, it is the same memory there.

    Args:
        layout: what there is.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout, self._file = layout, os.memfd_create("irl_ros", os.MFD_CLOEXEC)
        self._tensors: dict[str, Tensor] = {}
        self.rows = 0

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of that name, [N, …]; writing into it is seen by every process that has as many rows."""
        return self._tensors[name]

    def resize(self, rows: int) -> None:
        """Make room for N rows; what was in them is lost. Every process does it before it reads or writes."""
        places, size = {}, 0
        for name, (dtype, shape) in self._layout.items():
            places[name] = size
            bytes_here = rows * torch.Size(shape).numel() * dtype.itemsize
            size += -(-bytes_here // ALIGNED) * ALIGNED
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, size)
        memory = mmap.mmap(self._file, max(size, 1))  # freed with the last tensor in it
        self._tensors = {
            name: torch.frombuffer(
                memory, dtype=dtype, count=rows * torch.Size(shape).numel(), offset=places[name]
            ).view(rows, *shape)
            for name, (dtype, shape) in self._layout.items()
        }
        self.rows = rows

    def close(self) -> None:
        """Give up this process's hold."""
        self._tensors = {}
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __getstate__(self) -> dict[str, Any]:
        return {"layout": self._layout, "file": reduction.DupFd(self._file)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._layout, self._file = state["layout"], state["file"].detach()
        self._tensors, self.rows = {}, 0
