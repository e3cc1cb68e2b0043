"""BulletPool is BulletWorld, on more cores."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.sim import BulletPool, BulletWorld, State, load_world, throw
from irl_ros.sim.pool_worker import Fault

WORLD = load_world({"horizon": 40})


@pytest.fixture(scope="module")
def pool() -> Iterator[BulletPool]:
    torch.randn(400, 400) @ torch.randn(400, 400)  # torch's threads are in use when the processes start
    with BulletPool(WORLD, processes=2, dtype=torch.float64) as pool:
        yield pool


def swing(state: State) -> torch.Tensor:
    """Throws at a speed that depends on the target, without sums that batching could reorder."""
    action = torch.zeros(len(state.phase), 8, dtype=state.q.dtype)
    action[:, [1, 3, 5]] = (0.3 + 0.5 * state.target[:, :1]).clamp(max=1.0)
    action[:, 0] = state.target[:, 1] - 0.1 * state.q[:, 0]
    action[:, -1] = torch.where(state.phase > 0.4, 1.0, -1.0)
    return action


def same(one, other) -> None:
    for name in ("q", "qd", "ball_position", "ball_velocity", "target", "held", "landed", "phase"):
        assert torch.equal(getattr(one.states, name), getattr(other.states, name)), name
    torch.testing.assert_close(one.outcome.landing, other.outcome.landing, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(one.outcome.error, other.outcome.error, rtol=0, atol=0)
    assert torch.equal(one.outcome.torque_saturation, other.outcome.torque_saturation)


def test_a_pool_throws_what_one_world_throws(pool: BulletPool, open_loop) -> None:
    targets = WORLD.sample_targets(13, torch.Generator().manual_seed(4))  # seven and six
    pooled = pool.throw(swing, targets)
    assert len(pooled) == 13
    assert pooled.states.landed[:, -1].any()
    with BulletWorld(WORLD) as world:
        for i in (0, 6, 7, 12):
            alone = open_loop.throw(world, pooled.actions[i : i + 1], targets[i : i + 1])
            same(pooled[i : i + 1], alone)


def test_a_pool_takes_more_throws_then_fewer_than_it_has_processes(pool: BulletPool) -> None:
    targets = WORLD.sample_targets(40, torch.Generator().manual_seed(1))
    for some in (targets[:3], targets, targets[39:]):
        before = pool.reset(some)
        action = swing(before)
        action[:, 0] = 0.05 * some[:, 0]  # no faster than it may
        after = pool.step(action)
        torch.testing.assert_close(after.target, some.double())
        assert len(pool.outcome().error) == len(some)
        assert (after.q[:, 0] != before.q[:, 0]).all()  # and what was shown stays as it was
        assert len(after.q[:, 0].unique()) == len(some)


def test_starts_are_dealt_out_with_the_targets(pool: BulletPool) -> None:
    q = torch.tensor(WORLD.home) + 0.01 * torch.arange(5)[:, None]
    state = pool.reset(WORLD.sample_targets(5), (q, 0.1 * torch.ones_like(q)))
    torch.testing.assert_close(state.q, q)
    torch.testing.assert_close(state.qd, 0.1 * torch.ones_like(q))


def test_conditions_are_dealt_out_with_the_targets(open_loop) -> None:
    """Each throw under its own, whichever arm and ball throws it and what these threw before."""
    world = load_world(
        {
            "horizon": 30,
            "gravity": [8.0, 11.0],
            "ball": {"mass": [0.02, 0.2], "drag": [0.0, 1.0]},
            "arm": {
                "payload": [0.0, 2.0],
                "effort_scale": [0.3, 1.0],
                "latency": [0, 2],
                "noise": [0.0, 0.05],
            },
        }
    )
    drawn = world.sample_conditions(5, torch.Generator().manual_seed(2))
    targets = world.sample_targets(5, torch.Generator().manual_seed(3))
    with BulletPool(world, processes=2, dtype=torch.float64) as pair:
        pooled = pair.throw(swing, targets, conditions=drawn)
    with BulletWorld(world) as single:
        for i in (4, 0, 2):
            upcoming = iter(pooled.actions[i : i + 1].unbind(1))
            alone = throw(
                single, lambda _, u=upcoming: next(u), targets[i : i + 1], conditions=drawn[i : i + 1]
            )
            same(pooled[i : i + 1], alone)
    assert len(pooled.states.q[:, 12, 1].unique()) == 5  # and they make a difference


def test_states_come_in_the_precision_a_policy_wants() -> None:
    with BulletPool(WORLD, processes=1) as single:
        assert single.reset(WORLD.sample_targets(2)).q.dtype == torch.float32
        assert single.outcome().error.dtype == torch.float32


def test_a_fault_in_a_process_is_shown_here_in_one_line(pool: BulletPool) -> None:
    targets, wrong = WORLD.sample_targets(4), torch.zeros(4, 3)
    with pytest.raises(RuntimeError, match="a simulation process failed: error: Number") as caught:
        pool.reset(targets, (wrong, wrong))
    assert "\n" not in str(caught.value)
    assert "bullet_arm.py" in str(caught.value.__cause__)  # where it was, for who asks
    assert pool.reset(targets).held.all()  # and it still serves


def test_bad_input_in_a_process_is_bad_input_here(pool: BulletPool, monkeypatch) -> None:
    """What a process says of a robot that PyBullet cannot load."""
    told = pickle.dumps(Fault.of(InputError("arm.urdf", "joint 'j' has no axis", "give one")))
    monkeypatch.setattr(type(pool._pipes[0]), "recv_bytes", lambda pipe: told)
    with pytest.raises(InputError, match=r"^arm\.urdf: joint 'j' has no axis; give one$"):
        pool.outcome()


def test_when_a_process_dies_its_reason_is_told_and_the_others_end() -> None:
    with BulletPool(WORLD, processes=2) as pair:
        pair.reset(WORLD.sample_targets(2))
        first, second = pair._processes
        os.kill(second.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="process 2 of 2 has died: killed by SIGKILL") as caught:
            for _ in range(3):  # the news may be a step late
                pair.step(torch.zeros(2, 8))
        assert "\n" not in str(caught.value)
        assert first.exitcode == 0
        with pytest.raises(RuntimeError, match="have ended: make a new BulletPool"):
            pair.reset(WORLD.sample_targets(2))


PROGRAM = """
import multiprocessing.forkserver, signal
from irl_ros.sim import BulletPool, load_world
world = load_world('default')
pool = BulletPool(world, processes=2)
assert pool.reset(world.sample_targets(3)).held.all()
print(multiprocessing.forkserver._forkserver._forkserver_pid, *(p.pid for p in pool._processes), flush=True)
signal.pause()
"""


def test_a_killed_program_leaves_neither_processes_nor_shared_memory() -> None:
    """And a pool works in a script without a guard, read from stdin."""
    program = subprocess.Popen(
        [sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdin and program.stdout
    program.stdin.write(PROGRAM)
    program.stdin.close()
    pids = [int(pid) for pid in program.stdout.readline().split()]
    assert len(pids) == 3
    maps = Path(f"/proc/{pids[-1]}/maps").read_text()
    assert "/memfd:irl_ros" in maps  # which has no name that could be left over
    assert "/dev/shm" not in maps
    handles = [os.pidfd_open(pid) for pid in pids]
    program.kill()
    program.wait()
    for handle in handles:
        gone, _, _ = select.select([handle], [], [], 60.0)  # readable when the process has ended
        assert gone
        os.close(handle)
