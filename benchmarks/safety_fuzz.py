"""Hostile inputs against the safety filter that the nodes use.

    python benchmarks/safety_fuzz.py [--inputs 1000000] [--robots panda,iiwa] [--rates 50,1000] [--seed 0]

Every input is one call of `SafetyFilter` with an action, a joint state and a time. They graze position
limits or turn round every step; they hold NaN, infinities, wrong sizes and types, joints that are
missing, doubled, permuted or of another robot, poses that jump; states are dropped, repeated or late;
clocks leap and go backwards; emergency stops, resets, enabling and the deadman come at random. An arm
follows the commands in one of three manners (at once, in a straight line, at its acceleration limit)
with periods between half and five quarters of the planned one. Counted is what must never happen; the
exit code is 1 where any of it did.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from irl_ros.safety import Decision, JointReading, SafetyFilter, SafetySettings, StopReason
from irl_ros.sim import World, load_world

CALLS = 400  # of one episode: one filter, one arm
HOSTILITY = (0.0, 0.003, 0.03, 0.3)  # share of calls with a fault; an episode has one of these
MANNERS = ("held", "line", "ramp")
BAD_ACTIONS = (None, "nonsense", [], [0.0], float("nan"), [[0.0] * 8], [1e400] * 8, {"a": 1}, [10**400] * 8)
SLACK = 1e-7  # relative, of limits


@dataclass
class Tally:
    """What happened in all episodes of one robot."""

    calls: int = 0
    seconds: list[np.ndarray] = field(default_factory=list)
    stops: Counter = field(default_factory=Counter)
    never: Counter = field(default_factory=Counter)
    moving: int = 0
    grazing: int = 0


class FuzzedArm:
    """An ideal arm in one of the manners; keeps how far outside its limits it was at most, rad."""

    def __init__(self, world: World, manner: str, q: np.ndarray) -> None:
        self.world, self.manner, self.q, self.qd = world, manner, q, np.zeros(world.robot.n)
        self.lower, self.upper = world.robot.lower - 1e-9, world.robot.upper + 1e-9
        self.outside = False

    def follow(self, command: np.ndarray, dt: float) -> None:
        """dt seconds under a velocity command, rad/s [n]."""
        q, v, change = self.q, self.qd, command - self.qd
        if self.manner == "held":
            self.q, self.qd = q + command * dt, command
        elif self.manner == "line":
            self.q, self.qd = q + (v + 0.5 * change) * dt, command
            self._turn(q, v, change / dt)
        else:
            a = np.copysign(self.world.acceleration, change)
            t = np.minimum(np.abs(change) / self.world.acceleration, dt)
            self.qd = v + a * t
            self.q = q + (v + 0.5 * a * t) * t + self.qd * (dt - t)
            self._turn(q, v, a)
        self._look(self.q)

    def _turn(self, q: np.ndarray, v: np.ndarray, a: np.ndarray) -> None:
        """Where a joint turns round within the period it is farthest out: q - v² / 2a."""
        turns = v * self.qd < 0
        if turns.any():
            self._look(np.where(turns, q - v * v / np.where(turns, 2 * a, 1.0), q))

    def _look(self, q: np.ndarray) -> None:
        self.outside |= bool((q < self.lower).any() or (q > self.upper).any())


class Enemy:
    """One episode's inputs, drawn beforehand in arrays; what depends on the arm is made on the way."""

    def __init__(self, world: World, period: float, draw: np.random.Generator) -> None:
        self.world, self.draw, n = world, draw, world.robot.n
        self.p = float(draw.choice(HOSTILITY))
        self.actions = self._wishes(n)
        self.faulty = draw.random((CALLS, 3)) < self.p / 3
        self.kind = draw.integers(0, 1 << 16, (CALLS, 3))
        self.dropped = draw.random(CALLS) < draw.choice([0.0, 0.1, 0.5])
        self.event = draw.random(CALLS)
        self.period = period * np.where(draw.random(CALLS) < 0.3, draw.uniform(0.5, 1.25, CALLS), 1.0)
        self.order = draw.permutation(n + 2)
        names = np.array([*world.robot.joints, "finger", "another_joint"], dtype=object)[self.order]
        self.names = list(names)

    def _wishes(self, n: int) -> np.ndarray:
        """[CALLS, n + 1]: each joint keeps a wish for a while, long enough to get to a limit."""
        draw, size = self.draw, (CALLS, n + 1)
        lasting = draw.choice([1, 3, 20, 120])
        wish = draw.uniform(-1, 1, size)
        if draw.random() < 0.7:
            wish = np.sign(wish) * draw.choice([1.0, 1.0, 1.0, 0.3, 1e-3, 50.0])
        keep = draw.random(size) > 1.0 / lasting
        keep[0] = False
        index = np.maximum.accumulate(np.where(keep, 0, np.arange(CALLS)[:, None]), axis=0)
        return np.take_along_axis(wish, index, axis=0)

    def start(self) -> np.ndarray:
        """A pose anywhere, or at or very near limits."""
        robot, draw = self.world.robot, self.draw
        q = draw.uniform(robot.lower, robot.upper)
        near = draw.random(robot.n) < draw.choice([0.0, 0.5, 1.0])
        edge = np.where(draw.random(robot.n) < 0.5, robot.lower, robot.upper)
        inward = np.sign(robot.lower + robot.upper - 2 * edge) * draw.choice([0.0, 1e-12, 1e-6, 0.01, 0.1])
        return np.where(near, edge + inward, q)

    def action(self, k: int) -> object:
        if not self.faulty[k, 0]:
            return self.actions[k]
        kind = int(self.kind[k, 0])
        if kind % 3 == 0:
            return BAD_ACTIONS[kind // 3 % len(BAD_ACTIONS)]
        poisoned = self.actions[k].copy()
        poisoned[kind % len(poisoned)] = (math.nan, math.inf, -math.inf, 1e308)[kind // 3 % 4]
        return poisoned if kind % 2 else poisoned[: kind // 3 % len(poisoned)]

    def reading(
        self, k: int, arm: FuzzedArm, received: float, stamp: float, begins: bool
    ) -> JointReading | None:
        """The arm's state, names in any order with strangers among them, or something worse."""
        q = np.append(arm.q, (math.nan, 1e9))[self.order]
        qd = np.append(arm.qd, (math.nan, 1e9))[self.order]
        names: object = self.names
        if self.faulty[k, 1]:
            kind = int(self.kind[k, 1])
            victim = self.names.index(self.world.robot.joints[kind % self.world.robot.n])
            fault, value = kind // 7 % 9, (math.nan, math.inf, -math.inf, 1e308)[kind // 63 % 4]
            if begins:  # only a lie that can be seen: the first pose is believed
                fault = 9 + fault % 2
            if fault == 0:
                return None
            if fault == 1:
                q[victim] = value
            elif fault == 2:
                qd[victim] = value
            elif fault == 3:  # a jump, farther than tracking errors go
                q[victim] += math.copysign(0.11 + kind % 100 / 30, kind % 2 - 0.5)
            elif fault == 4:
                names = [n for i, n in enumerate(self.names) if i != victim]
                q, qd = np.delete(q, victim), np.delete(qd, victim)
            elif fault == 5:
                qd = np.array([])
            elif fault == 6:
                q = q[: kind % len(q)]
            elif fault == 7:
                names = [self.names[victim], *self.names[1:]] if victim else [*self.names[:-1], self.names[0]]
            elif fault == 9:
                qd[victim] += 0.5
            elif fault == 10:
                q[victim] += 7.0
            else:
                names = (None, 7, ["x"], "panda_joint1", [None] * len(q))[kind // 63 % 5]
        return JointReading(names, q, qd, received, stamp)  # type: ignore[arg-type]

    def clocks(self, k: int, stamp: float, now: float) -> tuple[float, float]:
        """The arm's and the caller's time as they are told."""
        if not self.faulty[k, 2]:
            return stamp, now
        kind = int(self.kind[k, 2])
        lie = (-0.5, -1e-4, 0.05, 1.0, 1e9, -1e9, math.nan, math.inf)[kind % 8]
        return (stamp + lie, now) if kind // 8 % 2 else (stamp, now + lie)

    def meddle(self, k: int, limited: SafetyFilter, now: float) -> bool:
        """Switches and buttons; whether motion may begin anew now."""
        x, p = self.event[k], self.p / 20
        if x < p:
            limited.estop()
        elif x < 2 * p:
            limited.stop()
        elif x < 3 * p:
            limited.deadman(False, now)
        elif x > 0.9:
            limited.reset()
        if x < 3 * p or (k % 50 > 40 and self.p):
            return False  # and for a while nobody holds the deadman
        limited.deadman(True, now)
        if limited.reason is not None and (k == 0 or x > 0.7):
            return limited.enable() is None
        return False


def episode(world: World, period: float, draw: np.random.Generator, tally: Tally) -> None:
    """One filter and one arm for CALLS inputs."""
    enemy = Enemy(world, period, draw)
    # at 1 kHz an episode is short: signs and states get old as quickly
    oldest = 5 * period
    settings = SafetySettings(period=period, max_age=oldest, deadman=float(draw.choice([0.0, oldest])))
    limited = SafetyFilter(world, settings)
    arm = FuzzedArm(world, str(draw.choice(MANNERS)), enemy.start())
    now, stamp = float(draw.uniform(0, 1e6)), float(draw.uniform(0, 1e9))
    decisions, poses, estopped = [], [arm.q], np.zeros(CALLS, dtype=bool)
    nanoseconds, seen = np.zeros(CALLS), None
    for k in range(CALLS):
        begins = enemy.meddle(k, limited, now)
        told_stamp, told_now = enemy.clocks(k, stamp, now)
        if seen is None or begins or not enemy.dropped[k]:
            seen = enemy.reading(k, arm, now, told_stamp, begins)
        action = enemy.action(k)
        clock = time.thread_time_ns()
        decision = limited(action, seen, told_now)
        nanoseconds[k] = time.thread_time_ns() - clock
        estopped[k] = limited.estopped
        decisions.append(decision)
        arm.follow(decision.velocity, float(enemy.period[k]))
        poses.append(arm.q)
        stamp, now = stamp + enemy.period[k], now + enemy.period[k]
    tally.calls += CALLS
    tally.seconds.append(nanoseconds * 1e-9)
    tally.never["arms outside position limits"] += arm.outside
    away = np.minimum(np.array(poses) - arm.lower, arm.upper - np.array(poses))
    tally.grazing += int((away < 0.005).any(1).sum())
    judge(world, limited, decisions, estopped, tally)


def judge(
    world: World, limited: SafetyFilter, decisions: list[Decision], estopped: np.ndarray, tally: Tally
) -> None:
    """An episode's decisions against the limits and against each other."""
    never, n = tally.never, world.robot.n
    tally.stops.update("passed" if d.stop is None else d.stop.name for d in decisions)
    velocity = np.array([np.zeros(n), *(d.velocity for d in decisions)])
    steps, stopped = (np.array([getattr(d, k) for d in decisions]) for k in ("dt", "stop"))
    stopped = stopped != None  # noqa: E711  (an array of reasons)
    action = np.array([d.action for d in decisions])
    position = np.array([d.velocity * 0 if d.position is None else d.position for d in decisions])
    moving = velocity.any(1)
    tally.moving += int(moving.sum())
    finite = np.isfinite(np.column_stack((velocity[1:], action, position, steps))).all(1)
    never["numbers not finite"] += int((~finite).sum())
    never["actions beyond 1"] += int((np.abs(action) > 1).any(1).sum())
    released = np.array([d.release for d in decisions]) | (action[:, -1] > 0)
    never["releases while stopped"] += int((stopped & released).sum())
    never["commands passed in an emergency stop"] += int((estopped & ~stopped).sum())
    never["velocity beyond its limit"] += int((np.abs(velocity) > world.velocity).any(1).sum())
    never["steps longer than a period"] += int((steps > limited.period).sum())
    change, real = np.diff(velocity, axis=0), steps > 0
    never["changes without time"] += int(change[~real].any(1).sum())
    acceleration = np.vstack((np.zeros(n), change[real] / steps[real][:, None]))
    too_hard = np.abs(acceleration) > world.acceleration * (1 + SLACK)
    never["acceleration beyond its limit"] += int(too_hard.any(1).sum())
    jerk = np.abs(np.diff(acceleration, axis=0)) / steps[real][:, None]
    never["jerk beyond its limit"] += int((jerk > limited.jerk * (1 + SLACK)).any(1).sum())
    resting = ~velocity[:-1][real].any(1) & ~acceleration[:-1].any(1)
    never["motion from rest while stopped"] += int((resting & stopped[real] & moving[1:][real]).sum())


def report(title: str, period: float, tally: Tally, seconds: float) -> int:
    """Prints the figures; the number of things that must not happen and did."""
    micro = np.concatenate(tally.seconds) * 1e6
    p50, p99 = np.percentile(micro, (50, 99))
    print(f"\n{title}: {tally.calls:,} inputs in {seconds:.0f} s of one core")
    print(
        f"  moving after {tally.moving / tally.calls:.1%} of them; a joint within 5 mrad of a limit after",
        end=" ",
    )
    print(f"{tally.grazing / tally.calls:.1%}")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in tally.stops.most_common()))
    unseen = [r.name for r in StopReason if r is not StopReason.FINISHED and r.name not in tally.stops]
    if unseen:
        print(f"  reasons that never came up: {', '.join(unseen)}")
    for name, count in sorted(tally.never.items()):
        print(f"  {count:8,} {name}")
    shares = f"{p50 / period / 1e4:.1f} % and {p99 / period / 1e4:.1f} % of the {period * 1e3:g} ms period"
    print(f"  a call takes {p50:.0f} µs (median), {p99:.0f} µs (99 %): {shares}")
    return sum(tally.never.values())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each robot (default 1000000)")
    parser.add_argument("--robots", default="panda,iiwa")
    parser.add_argument("--rates", default="50,1000", help="of commands, Hz; the inputs are shared out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    wrong = 0
    print(f"{platform.machine()}, Python {platform.python_version()}, seed {options.seed}")
    rates = [float(rate) for rate in options.rates.split(",")]
    for robot in options.robots.split(","):
        for rate in rates:
            world, tally = load_world({"robot": robot}), Tally()
            draw, begun = np.random.default_rng(options.seed), time.process_time()
            while tally.calls < options.inputs / len(rates):
                episode(world, 1 / rate, draw, tally)
            seconds = time.process_time() - begun
            wrong += report(f"{robot} at {rate:g} Hz", 1 / rate, tally, seconds)
    print("\nzero violations" if not wrong else f"\n{wrong:,} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
