"""Compiled throws against the same formulas in torch, and what happens where nothing can be compiled."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest
import torch

from irl_ros.robots.dynamics import Dynamics
from irl_ros.sim import BatchWorld, State, World, compiled_throws, compiler, load_world
from irl_ros.sim.recorded import record
from irl_ros.sim.reference import Reference
from irl_ros.sim.throw_kernel import ThrowKernel
from irl_ros.sim.throw_layout import NUMBERS, POINTERS

WEAK = {"arm": {"effort_scale": 0.3, "payload": 1.0}}
WEAK_IIWA = {"robot": "iiwa", "physics_steps": 3, "arm": {"effort_scale": 0.1}}
DRAWN = {
    "robot": "iiwa",
    "ball": {"drag": [0.2, 0.5]},
    "target": {"rim": 0.15},
    "arm": {"effort_scale": [0.1, 1.0]},
}
BIN = {"target": {"height": 0.25, "rim": 0.15}}
CPU = torch.device("cpu")


def motions(world: World, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Joint motions inside the limits and actions, some of them at the ends of travel."""
    draw = torch.Generator().manual_seed(0)
    share, speed, action = (
        torch.rand(count, world.robot.n, generator=draw, dtype=torch.float64) for _ in range(3)
    )
    lower, upper = torch.tensor(world.robot.lower), torch.tensor(world.robot.upper)
    q = lower + (upper - lower) * (1.02 * share - 0.01)  # a few beyond their stops
    return q, torch.tensor(world.velocity) * (speed - 0.5), 2.4 * action - 1.2


def after(simulator: BatchWorld, motion: tuple[torch.Tensor, ...], rows: slice = slice(None)) -> State:
    """The state a control step after the arms were in `motion`, every other ball in hand."""
    q, qd, action = (x[rows] for x in motion)
    opening = torch.where(torch.arange(len(motion[0])) % 2 == 0, 1.0, -1.0).double()[rows, None]
    simulator.reset(torch.tensor([[0.9, 0.1, 0.0]]).expand(len(q), 3), (q, qd))
    return simulator.step(torch.cat((action, opening), -1))


def same(one: State, other: State) -> bool:
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(State))


@pytest.mark.parametrize("keys", [{}, WEAK, WEAK_IIWA])
def test_compiled_and_torch_are_the_same_step(keys: dict) -> None:
    world = load_world(keys)
    motion = motions(world, 37)  # two full vectors and part of one, for any width
    native, plain = (BatchWorld(world, dtype=torch.float64, compiled=c) for c in (True, False))
    assert native.compiled and not plain.compiled
    one, other = after(native, motion), after(plain, motion)
    for field in dataclasses.fields(one):
        torch.testing.assert_close(
            getattr(one, field.name), getattr(other, field.name), rtol=1e-9, atol=1e-9, msg=field.name
        )
    ours, theirs = native.outcome(), plain.outcome()
    assert (ours.torque_saturation > 0).any() and (ours.limit_violations > 0).any()
    torch.testing.assert_close(ours.torque_saturation, theirs.torque_saturation)
    assert torch.equal(ours.limit_violations, theirs.limit_violations)


@pytest.mark.parametrize("keys", [{}, WEAK, DRAWN, BIN, {"robot": "xarm6"}])
def test_whole_throws_are_the_steps_one_after_the_other(keys: dict, open_loop) -> None:
    world, count = load_world(keys), 21
    actions, targets = open_loop.smooth_and_white(world, count), world.sample_targets(count)
    drawn = world.sample_conditions(count, torch.Generator().manual_seed(0))
    native, plain = (BatchWorld(world, dtype=torch.float64, compiled=c) for c in (True, False))
    whole = native.play(actions, targets, conditions=drawn)
    steps = open_loop.throw(native, actions, targets, conditions=drawn)
    assert same(whole.states, steps.states)
    for field in dataclasses.fields(whole.outcome):
        ours, theirs = getattr(whole.outcome, field.name), getattr(steps.outcome, field.name)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    eager = plain.play(actions, targets, conditions=drawn)
    assert whole.states.landed[:, -1].double().mean() > 0.5
    for field in dataclasses.fields(State):
        ours, theirs = getattr(whole.states, field.name), getattr(eager.states, field.name)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=field.name)


def test_a_throw_does_not_depend_on_its_neighbours() -> None:
    motion, simulator = motions(load_world(WEAK), 50), BatchWorld(load_world(WEAK), dtype=torch.float64)
    together = after(simulator, motion)
    for i in (0, 17, 49):
        assert same(after(simulator, motion, slice(i, i + 1))[0], together[i])


def test_threads_and_layout_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = load_world(WEAK)
    motion, simulator = motions(world, 100), BatchWorld(world, dtype=torch.float64)
    single = after(simulator, motion)
    monkeypatch.setattr(compiled_throws, "SHARE", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    turned = tuple(x.T.contiguous().T for x in motion)
    assert same(after(simulator, turned), single)


def test_what_is_not_a_number_is_not_hidden() -> None:
    """Learning watches for it."""
    motion = motions(world := load_world(), 20)
    motion[2][3, 2] = torch.nan
    state = after(BatchWorld(world), motion)
    assert state.q[3].isnan().any() and not state.q[[0, 1, 2, 4]].isnan().any()


def test_an_ideal_arm_knows_no_torque() -> None:
    motion = motions(world := load_world(WEAK), 20)
    simulator = BatchWorld(world, dtype=torch.float64, ideal=True)
    state = after(simulator, motion)
    assert simulator.outcome().torque_saturation.isnan().all() and not simulator.compiled
    assert torch.equal(state.q, Reference(load_world(), CPU, torch.float64).advance(*motion)[0])


@pytest.mark.parametrize("keys", [WEAK, BIN])
def test_the_text_for_cuda_computes_the_same(keys: dict, tmp_path: Path, open_loop) -> None:
    """Run here, one throw after the other, with CUDA's words defined away."""
    world = load_world(keys)
    kernel = ThrowKernel(world.robot.kinematics(), Dynamics(world.robot))
    words = """#include <cmath>
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(x)
struct { int x; } blockIdx, blockDim{1}, threadIdx;
using std::sin; using std::cos; using std::sqrt; using std::tanh; using std::ceil;
"""
    text = words + kernel.source(cuda=True, double=True)
    arguments = (*POINTERS, *(f"int {x}" for x in NUMBERS))
    names = ", ".join(re.split(r"[ *]", x)[-1] for x in arguments)
    text += f"""extern "C" void every({", ".join(arguments)}, int first, int end) {{
for (blockIdx.x = first; blockIdx.x < end; ++blockIdx.x) throws({names}); }}\n"""
    (tmp_path / "kernel.cpp").write_text(text)
    library = tmp_path / "kernel.so"
    command = ["c++", "-std=c++17", "-O0", "-fPIC", "-shared", "-w", tmp_path / "kernel.cpp", "-o", library]
    subprocess.run(command, check=True)
    shim, native = (BatchWorld(world, dtype=torch.float64) for _ in range(2))
    function = compiler.loaded(library, "every")
    shim._native = compiled_throws.CompiledThrows(function, world.robot.n, CPU, torch.float64)
    shim._prepare()
    actions, targets = open_loop.smooth_and_white(world, 20), world.sample_targets(20)
    one, other = shim.play(actions, targets), native.play(actions, targets)
    for field in ("q", "qd", "ball_position", "ball_velocity"):
        torch.testing.assert_close(
            getattr(one.states, field), getattr(other.states, field), rtol=1e-9, atol=1e-9
        )
    assert torch.equal(one.outcome.torque_saturation, other.outcome.torque_saturation)
    assert torch.equal(one.outcome.limit_violations, other.outcome.limit_violations)


def test_compiled_once_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = 'extern "C" int answer() { return 42; }'
    assert compiler.compile_cpu(lambda: text, "answer", "test", "key")() == 42

    def again() -> str:
        raise AssertionError("compiled twice")

    assert compiler.compile_cpu(again, "answer", "test", "key")() == 42
    assert [p.suffix for p in (tmp_path / "irl_ros" / "kernels").iterdir()] == [".so"]


@pytest.mark.parametrize("trouble", ["none", "broken", "no room"])
def test_without_a_compiler_it_throws_all_the_same_and_says_so_once(
    trouble: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ("file" if trouble == "no room" else "cache")))
    if trouble != "no room":
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("CXX", "" if trouble == "none" else "/bin/false")
    for remembered in (compiler._compiler, compiler._machine, compiler.say_once):
        remembered.cache_clear()
    monkeypatch.setattr(compiled_throws, "_known", {})
    try:
        worlds = [BatchWorld(load_world()) for _ in range(2)]
    finally:
        for remembered in (compiler._compiler, compiler._machine, compiler.say_once):
            remembered.cache_clear()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("irl_ros: throws are simulated without compiled code")
    assert not worlds[0].compiled
    worlds[0].reset(torch.tensor([[0.9, 0.0, 0.0]]))
    assert worlds[0].step(torch.zeros(1, 8)).q.isfinite().all()


def test_what_has_no_counterpart_in_c_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="no C for"):
        record(lambda q: {"q": [torch.erf(q[0])]}, {"q": 1})


def test_registers_may_be_exchanged() -> None:
    text = record(lambda a, b: {"a": b, "b": a}, {"a": 1, "b": 1})
    assert text.index("= b[0]") < text.index("a[0] =") and text.index("= a[0]") < text.index("a[0] =")


def test_what_a_device_cannot_start_is_found_before_it_is_relied_on() -> None:
    """As a GPU says it: the kernel was built, and asks for more than there is. A CPU runs all it compiles."""
    robot = load_world().robot
    compiled_throws.compiled_throws(robot, CPU, torch.float32).try_out()

    def refuse(*_: object) -> None:
        raise RuntimeError("CUDA driver error: too many resources requested for launch\nmore")

    broken = compiled_throws.CompiledThrows(refuse, robot.n, CPU, torch.float32)
    why = r"cannot be started \(CUDA driver error: too many resources requested for launch\)"
    with pytest.raises(compiler.CannotCompile, match=why):
        broken.try_out()
