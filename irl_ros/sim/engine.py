"""PyBullet, imported without the greeting it prints: standard error belongs to the program."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

STDERR = 2


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drops what C code writes to standard error."""
    flush = ctypes.CDLL(None).fflush
    flush(None)
    kept, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    try:
        yield
    finally:
        flush(None)  # C's buffer still holds the greeting
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)


with _silent():
    import pybullet

__all__ = ["pybullet"]
