"""Compiles C source for this machine and keeps the result on disk: seconds the first time, none later."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

FLAGS = (
    "-std=c++17",
    "-O2",
    "-march=native",
    "-fno-math-errno",
    "-ffp-contract=fast",
    "-fno-tree-vectorize",  # vectors are written out; what else would become one is a slow gather
    "-fPIC",
    "-shared",
    "-w",
)
PATIENCE = 300
"""Seconds a compiler gets."""


class CannotCompile(Exception):
    """Why there is no compiled code; one line."""


def cache_directory() -> Path:
    """Where compiled code is kept: $XDG_CACHE_HOME/irl_ros/kernels, or ~/.cache/irl_ros/kernels."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "irl_ros" / "kernels"


def compile_cpu(source: Callable[[], str], function: str, name: str, key: str) -> Any:
    """A C function from C++ source, through ctypes.

    Args:
        source: writes the text; called only where it was not compiled before.
        function: which of its functions, declared extern "C".
        name: beginning of the file's name in the cache.
        key: all that the source depends on.

    Raises:
        CannotCompile: no compiler, or it fails.
    """
    library = _place(name, ".so", key, *FLAGS, _machine())
    if not library.is_file():
        _keep(library, _built(source()))
    return loaded(library, function)


def loaded(library: Path, function: str) -> Any:
    """A function of a shared library.

    Raises:
        CannotCompile: it cannot be loaded.
    """
    try:
        return getattr(ctypes.CDLL(str(library)), function)
    except (OSError, AttributeError) as error:
        raise CannotCompile(f"{library} cannot be loaded ({error})") from None


def compile_cuda(source: Callable[[], str], function: str, name: str, key: str) -> Callable[..., None]:
    """A CUDA kernel, by the NVRTC that comes with torch, and torch's launcher. As `compile_cpu`."""
    try:
        from torch.cuda import _utils as nvrtc

        compile_text, load = nvrtc._nvrtc_compile, nvrtc._cuda_load_module
    except (ImportError, AttributeError):
        raise CannotCompile(f"torch {torch.__version__} has no compiler for CUDA kernels, 2.9 has") from None
    major, minor = torch.cuda.get_device_capability()
    binary = _place(name, ".cubin", key, f"sm_{major}{minor}", str(torch.version.cuda))
    try:
        if not binary.is_file():
            _keep(binary, compile_text(source(), function)[0])
        kernels: Any = load(binary.read_bytes(), [function])
    except CannotCompile:
        raise
    except Exception as error:  # whatever is wrong with these inner parts of torch, torch code still runs
        logging.getLogger(__name__).warning("NVRTC: %s", error)
        raise CannotCompile(f"NVRTC failed ({_first_line(error)})") from None
    kernel: Callable[..., None] = kernels[function]
    return kernel


def _place(name: str, suffix: str, *depends_on: str) -> Path:
    digest = hashlib.sha256("\0".join(depends_on).encode()).hexdigest()
    return cache_directory() / f"{name}-{digest[:24]}{suffix}"


def _keep(path: Path, content: bytes) -> None:
    """Write whole or not at all: two processes may both have built it, and built the same."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError as error:
        raise CannotCompile(f"{path.parent} cannot be written to ({error.strerror})") from None


def _built(source: str) -> bytes:
    compiler = _compiler()
    with tempfile.TemporaryDirectory() as folder:
        text, result = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        text.write_text(source)
        command = [compiler, *FLAGS, str(text), "-o", str(result)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
            return result.read_bytes()
        except subprocess.CalledProcessError as error:
            raise CannotCompile(f"{compiler} failed ({_first_line(error.stderr)})") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotCompile(f"{compiler} failed ({_first_line(error)})") from None


@functools.cache
def _compiler() -> str:
    """The C++ compiler: $CXX, or the first there is."""
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if path := shutil.which(name):
            return path
    raise CannotCompile("there is no C++ compiler (c++, g++ or clang++)")


@functools.cache
def _machine() -> str:
    """What -march=native depends on: processor and compiler."""
    parts = [platform.machine(), platform.processor()]
    try:
        compiler = _compiler()
        parts += [compiler, str(os.stat(compiler).st_mtime_ns)]
    except CannotCompile:
        pass
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        parts += sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    except OSError:
        pass
    return "\0".join(parts)


def _first_line(error: object) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")


@functools.cache
def say_once(line: str) -> None:
    """Print a line on standard error, the first time it is said."""
    print(line, file=sys.stderr)
