"""The compiled arm against the same formulas in torch, and what happens where nothing can be compiled."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
import torch

from irl_ros.robots.dynamics import Dynamics
from irl_ros.sim import BatchWorld, World, compiled_arm, compiler, load_world
from irl_ros.sim.arm_kernel import ArmKernel
from irl_ros.sim.arm_response import ArmResponse
from irl_ros.sim.recorded import record

WEAK = {"arm": {"effort_scale": 0.3, "payload": 1.0}}
WEAK_IIWA = {"robot": "iiwa", "physics_steps": 3, "arm": {"effort_scale": 0.1}}
CPU = torch.device("cpu")


def arm(world: World, dtype: torch.dtype = torch.float64, **kinds: bool) -> ArmResponse:
    return ArmResponse(world, CPU, dtype, **kinds)


def motions(world: World, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Joint motions inside the limits and actions, some of them at the ends of travel."""
    draw = torch.Generator().manual_seed(0)
    share, speed, action = (
        torch.rand(count, world.robot.n, generator=draw, dtype=torch.float64) for _ in range(3)
    )
    lower, upper = torch.tensor(world.robot.lower), torch.tensor(world.robot.upper)
    q = lower + (upper - lower) * (1.02 * share - 0.01)  # a few beyond their stops
    return q, torch.tensor(world.velocity) * (speed - 0.5), 2.4 * action - 1.2


@pytest.mark.parametrize("keys", [{}, WEAK, WEAK_IIWA])
def test_compiled_and_torch_are_the_same_arm(keys: dict) -> None:
    world = load_world(keys)
    motion = motions(world, 37)  # two full vectors and part of one, for any width
    native, plain = arm(world), arm(world, compiled=False)
    assert native.compiled and not plain.compiled
    one, other = native.advance(*motion), plain.advance(*motion)
    assert (one.clipped > 0).any()
    for field in dataclasses.fields(one):
        torch.testing.assert_close(
            getattr(one, field.name), getattr(other, field.name), rtol=1e-9, atol=1e-9, msg=field.name
        )


def test_a_throw_does_not_depend_on_its_neighbours() -> None:
    q, qd, action = motions(world := load_world(WEAK), 50)
    together = arm(world).advance(q, qd, action)
    for i in (0, 17, 49):
        alone = arm(world).advance(q[i : i + 1], qd[i : i + 1], action[i : i + 1])
        assert torch.equal(alone.q[0], together.q[i]) and torch.equal(alone.tool[0], together.tool[i])
        assert alone.clipped[0] == together.clipped[i]


def test_threads_and_layout_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, qd, action = motions(world := load_world(WEAK), 100)
    single = arm(world).advance(q, qd, action)
    monkeypatch.setattr(compiled_arm, "SHARE", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    turned = [x.T.contiguous().T for x in (q, qd, action)]
    assert torch.equal(arm(world).advance(*turned).q, single.q)


def test_what_is_not_a_number_is_not_hidden() -> None:
    """Learning watches for it."""
    q, qd, action = motions(world := load_world(), 20)
    action[3, 2] = torch.nan
    after = arm(world, torch.float32).advance(q.float(), qd.float(), action.float())
    assert after.q[3].isnan().any() and not after.q[[0, 1, 2, 4]].isnan().any()


def test_an_ideal_arm_knows_no_torque() -> None:
    q, qd, action = motions(world := load_world(WEAK), 20)
    ideal, reference = arm(world, ideal=True), arm(load_world(), compiled=False).reference
    motion = ideal.advance(q, qd, action)
    assert motion.clipped.isnan().all() and not ideal.compiled
    assert torch.equal(motion.q, reference.advance(q, qd, action)[0])


def test_the_text_for_cuda_computes_the_same(tmp_path: Path) -> None:
    """Run here, one throw after the other, with CUDA's words defined away."""
    world = load_world(WEAK)
    kernel = ArmKernel(world.robot.kinematics(), Dynamics(world.robot))
    words = """#include <cmath>
#define __global__
#define __device__
#define __forceinline__ inline
struct { int x; } blockIdx, blockDim{1}, threadIdx;
using std::sin; using std::cos; using std::sqrt;
"""
    text = words + kernel.source(cuda=True, double=True)
    names = ", ".join(f"{x}_, {x}_row, {x}_lane" for x in kernel.sizes)
    head = ", ".join(f"const T *{x}_, int {x}_row, int {x}_lane" for x in kernel.sizes)
    text += f"""extern "C" void every({head}, T *out, int steps, int count, int first, int end) {{
for (blockIdx.x = first; blockIdx.x < end; ++blockIdx.x) control_step({names}, out, steps, count); }}\n"""
    (tmp_path / "kernel.cpp").write_text(text)
    library = tmp_path / "kernel.so"
    command = ["c++", "-std=c++17", "-O0", "-fPIC", "-shared", "-w", tmp_path / "kernel.cpp", "-o", library]
    subprocess.run(command, check=True)
    shim, native = arm(world, compiled=False), arm(world)
    function = compiler.loaded(library, "every")
    shim._native = compiled_arm.CompiledArm(function, world.robot.n, CPU, torch.float64)
    shim.begin(None)
    motion = motions(world, 20)
    one, other = shim.advance(*motion), native.advance(*motion)
    torch.testing.assert_close(one.q, other.q, rtol=1e-9, atol=1e-9)
    assert torch.equal(one.clipped, other.clipped) and torch.equal(one.violated, other.violated)


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
    monkeypatch.setattr(compiled_arm, "_known", {})
    try:
        worlds = [BatchWorld(load_world()) for _ in range(2)]
    finally:
        for remembered in (compiler._compiler, compiler._machine, compiler.say_once):
            remembered.cache_clear()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("irl_ros: throws are simulated without compiled code")
    assert not worlds[0].arm.compiled
    worlds[0].reset(torch.tensor([[0.9, 0.0, 0.0]]))
    assert worlds[0].step(torch.zeros(1, 8)).q.isfinite().all()


def test_what_has_no_counterpart_in_c_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="no C for"):
        record(lambda q: {"q": [torch.erf(q[0])]}, {"q": 1})


def test_registers_may_be_exchanged() -> None:
    text = record(lambda a, b: {"a": b, "b": a}, {"a": 1, "b": 1})
    assert text.index("= b[0]") < text.index("a[0] =") and text.index("= a[0]") < text.index("a[0] =")
