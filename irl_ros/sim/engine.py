"""PyBullet, imported without the greeting it prints, and robots given to it as text."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator

from irl_ros.errors import InputError

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

__all__ = ["connect", "load_urdf", "pybullet", "undamp"]


def connect(gravity: float, time_step: float) -> int:
    """A PyBullet client without a window: gravity in m/s², downwards; time step in s."""
    client: int = pybullet.connect(pybullet.DIRECT)
    pybullet.setGravity(0.0, 0.0, -gravity, physicsClientId=client)
    pybullet.setTimeStep(time_step, physicsClientId=client)
    return client


def undamp(body: int, link: int, client: int) -> None:
    """Bullet slows every link by 4 % a second unless told not to; this tells it."""
    pybullet.changeDynamics(body, link, linearDamping=0.0, angularDamping=0.0, physicsClientId=client)


def load_urdf(text: str, client: int, where: object, flags: int = 0) -> int:
    """Load a robot with a fixed base; returns its body.

    Args:
        text: a URDF.
        client: PyBullet client.
        where: the file that errors name.
        flags: of PyBullet's loadURDF.

    Raises:
        InputError: PyBullet cannot load it.
    """
    # PyBullet reads URDFs from files only
    with tempfile.NamedTemporaryFile("w", suffix=".urdf") as file:
        file.write(text)
        file.flush()
        try:
            return pybullet.loadURDF(file.name, useFixedBase=True, flags=flags, physicsClientId=client)
        except pybullet.error as error:
            raise InputError(where, f"PyBullet cannot load the arm ({error})") from None
