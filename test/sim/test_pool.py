"""BulletPool is BulletWorld, on more cores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from irl_ros.sim import BulletPool, BulletWorld, State, load_world

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
    targets = WORLD.sample_targets(37, torch.Generator().manual_seed(4))  # three rounds, the last one uneven
    pooled = pool.throw(swing, targets)
    assert len(pooled) == 37
    assert pooled.states.landed[:, -1].any()
    with BulletWorld(WORLD) as world:
        parts = [
            open_loop.throw(world, pooled.actions[i : i + 1], targets[i : i + 1]) for i in (0, 8, 17, 36)
        ]
    for i, alone in zip((0, 8, 17, 36), parts, strict=True):
        same(pooled[i : i + 1], alone)


def test_starts_are_dealt_out_with_the_targets(pool: BulletPool) -> None:
    q = torch.tensor(WORLD.home) + 0.01 * torch.arange(5)[:, None]
    state = pool.reset(WORLD.sample_targets(5), (q, 0.1 * torch.ones_like(q)))
    torch.testing.assert_close(state.q, q)
    torch.testing.assert_close(state.qd, 0.1 * torch.ones_like(q))


def test_states_come_in_the_precision_a_policy_wants() -> None:
    with BulletPool(WORLD, processes=1) as single:
        assert single.reset(WORLD.sample_targets(2)).q.dtype == torch.float32
        assert single.outcome().error.dtype == torch.float32


def test_a_fault_in_a_process_is_shown_here(pool: BulletPool) -> None:
    pool.reset(WORLD.sample_targets(4))
    with pytest.raises(RuntimeError, match="a simulation process failed"):
        pool.step(torch.zeros(4, 3))
    assert pool.reset(WORLD.sample_targets(4)).held.all()  # and it still serves


def test_a_dead_process_is_reported() -> None:
    with BulletPool(WORLD, processes=1) as single:
        single.reset(WORLD.sample_targets(1))
        single._processes[0].kill()
        with pytest.raises(RuntimeError, match="process has died"):
            single.step(torch.zeros(1, 8))


def test_works_in_a_script_without_a_guard_read_from_stdin() -> None:
    script = (
        "from irl_ros.sim import BulletPool, load_world\n"
        "world = load_world('default')\n"
        "pool = BulletPool(world, processes=2)\n"
        "print('held', bool(pool.reset(world.sample_targets(3)).held.all()))\n"
    )
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=120)
    assert "held True" in done.stdout, done.stderr
    assert done.returncode == 0
