"""Builds the messages and actions of irl_ros while setup.py builds the package.

`build_ext` is the one command that installing, building a wheel, editable installs and `colcon build` have in
common. Ours runs CMake on the CMakeLists.txt beside this file and installs into a staging folder. From there

    the generated Python              goes into the package, as irl_ros/msg and irl_ros/action
    lib*.so, definitions, markers     join data_files, so that setuptools puts them under the prefix

An editable or symlinked install leaves the source folder as it is: the generated Python goes to irl_ros/ in
site-packages, where `irl_ros.__path__` finds it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

PACKAGE = "irl_ros"
SOURCE = Path(__file__).resolve().parent
ROOT = SOURCE.parent
STAGED_PYTHON = "python"  # where in the staging folder the generated Python lies
KINDS = ("msg", "srv", "action")
INDEX = "share/ament_index/resource_index/rosidl_interfaces"


class BuildInterfaces(build_ext):
    """Generates and compiles the interfaces, and hands every file to the command that installs its kind."""

    def run(self) -> None:
        build = Path(self.build_temp).absolute() / "interfaces"
        stage = compile_interfaces(build)
        self._write_node_executables(stage)
        self.generated = self._place_python(stage / STAGED_PYTHON / PACKAGE)
        for folder in ("lib", f"lib/{PACKAGE}", *(f"share/{PACKAGE}/{kind}" for kind in KINDS), INDEX):
            files = sorted(os.path.relpath(path) for path in (stage / folder).glob("*") if path.is_file())
            if files:
                self.distribution.data_files.append((folder, files))

    def _place_python(self, generated: Path) -> list[str]:
        """Copies irl_ros/{msg,action,*.so} to where Python will import it from."""
        package = Path(self._python_root()) / PACKAGE
        package.mkdir(parents=True, exist_ok=True)
        placed = []
        for item in sorted(generated.iterdir()):
            if item.is_dir() and item.name != "__pycache__":
                shutil.rmtree(package / item.name, ignore_errors=True)
                shutil.copytree(
                    item, package / item.name, ignore=shutil.ignore_patterns("*.c", "__pycache__", "*.pyc")
                )
                placed += [str(path) for path in (package / item.name).rglob("*.py")]
            elif item.suffix == ".so":
                placed.append(str(shutil.copy2(item, package / item.name)))
        return placed

    def _python_root(self) -> str:
        if self.editable_mode:  # pip install -e: this folder becomes the wheel, which lands in site-packages
            return self.get_finalized_command("install").install_lib
        if self.inplace:  # setup.py develop, by colcon build --symlink-install
            return self.get_finalized_command("develop").install_dir
        return self.build_lib

    def _write_node_executables(self, stage: Path) -> None:
        """lib/irl_ros/<node>, where `ros2 run` and launch files look; `irl-ros` is a console script."""
        folder = stage / "lib" / PACKAGE
        folder.mkdir(parents=True, exist_ok=True)
        for node in self.distribution.ros_nodes:
            code = f"import sys\n\nfrom {PACKAGE}.nodes.__main__ import start\n\nsys.exit(start({node!r}))\n"
            script = folder / node
            script.write_text(f"#!{sys.executable}\n{code}")
            script.chmod(0o755)

    def get_outputs(self) -> list[str]:
        return list(getattr(self, "generated", []))

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        own = [SOURCE / "CMakeLists.txt", Path(__file__)]
        return [os.path.relpath(path, ROOT) for path in [*own, *definitions()]]


def definitions() -> list[Path]:
    return sorted(path for kind in KINDS for path in ROOT.glob(f"{kind}/*.{kind}"))


def compile_interfaces(build: Path) -> Path:
    """Runs CMake in `build` and returns the staging folder, laid out as a prefix.

    Raises:
        CompileError: there is no ROS, no CMake or no compiler, or the build fails.
    """
    prefixes = ros_prefixes()
    # First where Python itself lies: neither pip nor colcon puts a virtual environment's bin/ on the PATH.
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cmake = shutil.which("cmake", path=search)
    if cmake is None:
        raise CompileError("irl_ros: cmake is not installed; pip and your system's packages have it")
    arguments = [
        f"-DCMAKE_PREFIX_PATH={';'.join(prefixes)}",
        f"-DPython3_EXECUTABLE={sys.executable}",
        f"-DPYTHON_INSTALL_DIR={STAGED_PYTHON}",
        "-DBUILD_TESTING=OFF",
    ]
    stage = build / "stage"
    _wipe_if_changed(build, [cmake, *arguments, *map(str, definitions())])
    environment = dict(os.environ, AMENT_PREFIX_PATH=os.pathsep.join(prefixes))
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    for command in (
        [cmake, "-S", str(SOURCE), "-B", str(build), *arguments],
        [cmake, "--build", str(build), "--parallel", jobs],
        [cmake, "--install", str(build), "--prefix", str(stage)],
    ):
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode:
            raise CompileError(f"irl_ros: the messages do not build\n{result.stdout}\n{result.stderr}")
    return stage


def ros_prefixes() -> list[str]:
    """Prefixes that may hold ROS packages, nearest first: the sourced ones, then the one Python finds ROS in.

    The latter is the virtual environment with the ROS wheels, or pip's isolated build environment.

    Raises:
        CompileError: there is neither.
    """
    found = [path for path in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if path]
    generator = importlib.util.find_spec("rosidl_generator_py")
    if generator is not None and generator.origin is not None:
        # <prefix>/lib/pythonX.Y/site-packages/rosidl_generator_py/__init__.py
        found.append(str(Path(generator.origin).resolve().parents[4]))
    if not found:
        raise CompileError("irl_ros: no ROS 2 here; source one, or install the wheels in pyproject.toml")
    return list(dict.fromkeys(found))


def _wipe_if_changed(build: Path, inputs: list[str]) -> None:
    """Empties the build folder when its inputs change: CMake keeps the prefixes and files it found first."""
    record = build / "inputs.json"
    known = json.loads(record.read_text()) if record.is_file() else None
    if known != inputs:
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir(parents=True)
        record.write_text(json.dumps(inputs))
    shutil.rmtree(build / "stage", ignore_errors=True)
