"""Throws simulated in BatchWorld and recorded into real rosbag2 folders, in every way people record them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from irl_ros.demos.message_types import (
    EPISODE_EVENT,
    FLOAT_ARRAY,
    JOINT_STATE,
    ODOMETRY,
    POINT_STAMPED,
    typestore,
)
from irl_ros.demos.writer import EpisodeBagWriter
from irl_ros.sim import BatchWorld, State, Throws, World, load_world, throw
from irl_ros.sim.reference import Reference

START, STOP, DISCARD, RELEASE = range(4)


@pytest.fixture(scope="session")
def world() -> World:
    return load_world()


def swing(world: World, count: int, seed: int) -> Throws:
    """Open-loop forward swings of different speed that release in mid-swing and land within the horizon."""
    generator = torch.Generator().manual_seed(seed)
    forward = torch.zeros(count, world.robot.n, dtype=torch.float64)
    forward[:, 1], forward[:, 3], forward[:, 5] = 0.4, 0.9, 0.8
    forward = forward * (0.8 + 0.2 * torch.rand(count, 1, generator=generator, dtype=torch.float64))
    forward[:, 0] = 0.3 * (torch.rand(count, generator=generator, dtype=torch.float64) - 0.5)
    released_at = 16 + torch.randint(0, 6, (count,), generator=generator)
    simulator = BatchWorld(world, dtype=torch.float64)

    def policy(state: State) -> torch.Tensor:
        k = round(float(state.phase[0]) * world.horizon)
        bell = max(np.sin(np.pi * (k - 1) / 30), 0.0) if k < 31 else 0.0
        tremor = (
            0.03 * torch.randn(count, world.robot.n, generator=generator, dtype=torch.float64) * (0 < k < 40)
        )
        opens = torch.where(k >= released_at, 1.0, -1.0).double()
        return torch.cat(((forward * bell + tremor).clamp(-1, 1), opens[:, None]), -1)

    throws = throw(simulator, policy, world.sample_targets(count, generator).double())
    assert throws.outcome.released.all() and throws.states.landed[:, -4].all()
    return throws


@dataclass(frozen=True)
class Habits:
    """How a person records. Times in s."""

    storage: str = "mcap"
    namespace: str = ""
    shuffle_joints: bool = False
    other_joints: tuple[str, ...] = ()
    interleave: bool = False
    """Another robot's joint_states on the same topic, in messages of their own."""
    velocities: bool = True
    commands: bool = True
    command_after: float = 0.0003
    """From a state to the command that answers it."""
    command_jitter: float = 0.0
    gripper: bool = True
    gripper_after: float = 0.0004
    """From the ball leaving the hand to the command that opens it: negative for a slow gripper."""
    gripper_repeats: bool = False
    """It is told in every control step."""
    resample: float = 0.0
    """Time by which joints and ball are sampled beside the control steps."""
    ball: bool = True
    twist: bool = True
    target: bool = True
    laboratory: bool = False
    """Joints at 250 Hz; a tracker at 125 Hz without velocities and with 1 mm of noise; the ball bounces."""
    target_once: bool = False
    events: bool = True
    stamp_zero: float = 1_700_000_000.0
    """Header stamp of the first state; small for simulation time."""
    received_zero: float = 1_700_000_000.05
    """Receive time of the same."""
    received_rate: float = 1.0
    """Receive seconds in one stamp second (a simulation runs at another speed)."""
    pause: float = 1.0
    discard: tuple[int, ...] = ()
    labels: bool = True
    mislabel: bool = False
    hole: bool = False
    """In the second throw the joint states fail for 0.4 s."""


class Recorder:
    """Writes throws into one bag through the real writer, as messages."""

    def __init__(self, path: Path, world: World, habits: Habits) -> None:
        self.world, self.habits, self.store = world, habits, typestore()
        self.rng = np.random.default_rng(0)
        self.names = {
            "joint_states": JOINT_STATE,
            "arm_controller/commands": FLOAT_ARRAY,
            "gripper_controller/commands": FLOAT_ARRAY,
            "ball/odometry": ODOMETRY,
            "target": POINT_STAMPED,
            "irl/episode": EPISODE_EVENT,
        }
        wanted = {
            "arm_controller/commands": habits.commands,
            "gripper_controller/commands": habits.gripper,
            "ball/odometry": habits.ball,
            "target": habits.target,
            "irl/episode": habits.events,
        }
        self.names = {n: t for n, t in self.names.items() if wanted.get(n, True)}
        self.rows: list[tuple[int, str, bytes]] = []
        self.path = path

    def save(self) -> Path:
        topics = {f"{self.habits.namespace}/{n}": t for n, t in self.names.items()}
        with EpisodeBagWriter(self.path, topics, self.habits.storage) as bag:
            for received, name, data in sorted(self.rows, key=lambda r: r[0]):
                bag.write(f"{self.habits.namespace}/{name}", self.names[name], received, data)
        return self.path

    def message(self, kind: str, **values: object) -> object:
        return self.store.types[kind](**values)

    def put(self, name: str, time: float, message: object) -> None:
        if name in self.names:
            received = self.habits.received_zero + time * self.habits.received_rate
            data = bytes(self.store.serialize_cdr(message, self.names[name]))
            self.rows.append((round(received * 1e9), name, data))

    def header(self, time: float) -> object:
        ns = round((self.habits.stamp_zero + time) * 1e9)
        stamp = self.message("builtin_interfaces/msg/Time", sec=ns // 10**9, nanosec=ns % 10**9)
        return self.message("std_msgs/msg/Header", stamp=stamp, frame_id="world")

    def joints(self, time: float, q: np.ndarray, qd: np.ndarray) -> None:
        h, order = self.habits, np.arange(len(q))
        names = list(self.world.robot.joints) + list(h.other_joints)
        q, qd = (
            np.append(q, np.full(len(h.other_joints), 9.0)),
            np.append(qd, np.full(len(h.other_joints), 7.0)),
        )
        order = self.rng.permutation(len(names)) if h.shuffle_joints else np.arange(len(names))
        velocity = qd[order] if h.velocities else np.zeros(0)
        self._joint_state(time, [names[i] for i in order], q[order], velocity)
        if h.interleave:
            self._joint_state(time + 0.001, ["ur_elbow", "ur_wrist"], np.full(2, 5.0), np.full(2, 5.0))

    def _joint_state(self, time: float, names: list[str], q: np.ndarray, qd: np.ndarray) -> None:
        message = self.message(
            JOINT_STATE, header=self.header(time), name=names, position=q, velocity=qd, effort=np.zeros(0)
        )
        self.put("joint_states", time, message)

    def numbers(self, name: str, time: float, values: Sequence[float]) -> None:
        layout = self.message("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
        self.put(name, time, self.message(FLOAT_ARRAY, layout=layout, data=np.array(values, dtype=float)))

    def ball(self, time: float, p: np.ndarray, v: np.ndarray) -> None:
        kinds = {n: f"geometry_msgs/msg/{n}" for n in ("Point", "Quaternion", "Pose", "Vector3", "Twist")}
        v = v if self.habits.twist and not self.habits.laboratory else np.zeros(3)
        pose = self.message(
            kinds["Pose"],
            position=self.message(kinds["Point"], x=p[0], y=p[1], z=p[2]),
            orientation=self.message(kinds["Quaternion"], x=0.0, y=0.0, z=0.0, w=1.0),
        )
        linear = self.message(kinds["Vector3"], x=v[0], y=v[1], z=v[2])
        twist = self.message(
            kinds["Twist"], linear=linear, angular=self.message(kinds["Vector3"], x=0.0, y=0.0, z=0.0)
        )
        covariance = np.zeros(36)
        message = self.message(
            ODOMETRY,
            header=self.header(time),
            child_frame_id="ball",
            pose=self.message("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance),
            twist=self.message("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=covariance),
        )
        self.put("ball/odometry", time, message)

    def target(self, time: float, p: np.ndarray) -> None:
        point = self.message("geometry_msgs/msg/Point", x=p[0], y=p[1], z=p[2])
        self.put("target", time, self.message(POINT_STAMPED, header=self.header(time), point=point))

    def event(self, time: float, episode: int, kind: int, outcome: str = "") -> None:
        message = self.message(
            EPISODE_EVENT,
            header=self.header(time),
            episode=episode,
            event=kind,
            outcome=outcome,
            ended_by="operator" if kind == STOP else "",
            operator_name="test",
            notes="",
        )
        self.put("irl/episode", time, message)

    def throw(self, number: int, throws: Throws, start: float) -> float:
        """One throw (leading shape []) from `start` on, then the arm's way home; returns when it is over."""
        h, dt, horizon = self.habits, self.world.dt, self.world.horizon
        s, a = throws.states.map(lambda x: x.numpy()), throws.actions.numpy()
        if not h.target_once or number == 0:
            self.target(start - 0.01, s.target[0])
        self.event(start, number, START)
        self.numbers("gripper_controller/commands", start - 0.02, [-1.0])
        opened = False
        for k in range(horizon + 1):
            time = start + k * dt
            if not (h.hole and number == 1 and 10 < k < 30):
                self.sample(time, throws, k)
            if k < horizon:
                sent = time + h.command_after + h.command_jitter * self.rng.uniform(-1, 1)
                self.numbers("arm_controller/commands", sent, a[k, :-1] * self.world.velocity)
                opens = a[k, -1] > 0
                if h.gripper_repeats and not opens:
                    self.numbers("gripper_controller/commands", time + h.gripper_after, [-1.0])
                if opens and (not opened or h.gripper_repeats):
                    opened = True
                    self.numbers("gripper_controller/commands", time + h.gripper_after, [1.0])
        hit = bool(throws.outcome.error <= 0.1) != h.mislabel
        outcome = ("success" if hit else "failure") if h.labels else ""
        self.event(start + horizon * dt, number, DISCARD if number in h.discard else STOP, outcome)
        return self._go_home(s.q[-1], start + horizon * dt)

    def sample(self, time: float, throws: Throws, k: int) -> None:
        """What joint_states and ball/odometry show `resample` s after state k, by the closed form."""
        if self.habits.laboratory:
            return self._laboratory(time, throws, k)
        late, s = self.habits.resample, throws.states.map(lambda x: x.numpy())
        share = late / self.world.dt if k < self.world.horizon else 0.0
        nearby = min(k + 1, self.world.horizon)
        q, qd = ((1 - share) * x[k] + share * x[nearby] for x in (s.q, s.qd))
        self.joints(time + late, q, qd)
        p, v = s.ball_position[k], s.ball_velocity[k]
        if share and s.held[nearby]:
            p, v = ((1 - share) * x[k] + share * x[nearby] for x in (s.ball_position, s.ball_velocity))
        elif share and not s.landed[nearby]:
            p = p + late * v - 0.5 * 9.81 * late * (late + self.world.physics_dt) * np.array([0, 0, 1])
            v = v - 9.81 * late * np.array([0, 0, 1])
        elif share and not s.landed[k]:  # it comes down within this step; the tracker misses the sample
            return
        self.ball(time + late, p, v)

    def _laboratory(self, time: float, throws: Throws, k: int) -> None:
        """The physics steps from state k on: where the arm and the ball really are between control steps."""
        s, h, n = throws.states, self.world.physics_dt, self.world.settings.physics_steps
        if k == self.world.horizon:
            return self.joints(time, s.q[k].numpy(), s.qd[k].numpy())
        reference = Reference(self.world, "cpu", torch.float64)
        command = reference.command(s.q[k], s.qd[k], throws.actions[k, :-1])
        qd = torch.cat((s.qd[k][None], reference.velocities(s.qd[k], command)))
        q = s.q[k] + h * torch.cat((torch.zeros_like(qd[:1]), qd[1:].cumsum(0)))
        p, _ = self.world.robot.kinematics(dtype=torch.float64).tool_motion(q, qd)
        first_free = int(s.held.sum()) - 1
        for i in range(n):
            self.joints(time + i * h, q[i].numpy(), qd[i].numpy())
            if (k * n + i) % 2 == 0:
                elapsed = (k - first_free) * self.world.dt + i * h
                where = (
                    p[i]
                    if elapsed <= 0
                    else self._thrown(s.ball_position[first_free], s.ball_velocity[first_free], elapsed)
                )
                self.ball(time + i * h, where.numpy() + self.rng.normal(0, 0.001, 3), np.zeros(3))

    def _thrown(self, p: torch.Tensor, v: torch.Tensor, elapsed: float) -> torch.Tensor:
        """A real ball: it bounces when its centre is a radius above the floor."""
        g, floor, up = (
            self.world.settings.gravity,
            self.world.settings.ball.radius,
            torch.tensor([0.0, 0.0, 1.0]).double(),
        )
        fall = (v[2] + (v[2] ** 2 + 2 * g * (p[2] - floor)).sqrt()) / g
        if elapsed > fall:
            p, v, elapsed = p + fall * v - 0.5 * g * fall**2 * up, v - g * fall * up, float(elapsed - fall)
            v = v * torch.tensor([0.7, 0.7, -0.6]).double()
        where = p + elapsed * v - 0.5 * g * elapsed**2 * up
        where[2] = max(float(where[2]), floor)
        return where

    def _go_home(self, q: np.ndarray, start: float) -> float:
        if self.habits.pause == 0.0:
            return start + 5 * self.world.dt
        kinematics = self.world.robot.kinematics(dtype=torch.float64)
        steps = round(self.habits.pause / self.world.dt)
        self.numbers("arm_controller/commands", start + 0.001, np.zeros(len(q)))
        for k in range(1, steps):
            x = min(k / (0.6 * steps), 1.0)
            share, speed = (
                x**3 * (10 - 15 * x + 6 * x * x),
                30 * x**2 * (1 - x) ** 2 / (0.6 * self.habits.pause),
            )
            now, moving = q + share * (self.world.home - q), speed * (self.world.home - q)
            p, v = kinematics.tool_motion(torch.as_tensor(now), torch.as_tensor(moving))
            self.joints(start + k * self.world.dt, now, moving)
            self.ball(start + k * self.world.dt, p.numpy(), v.numpy())
        return start + steps * self.world.dt


Record = Callable[..., list[Path]]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, world: World) -> Callable[..., Path]:
    """A folder with the bag of `throws` that nobody may change; the same bag is written only once."""
    done: dict[tuple[object, ...], Path] = {}

    def write(throws: Throws, a_bag: int, habits: Habits) -> Path:
        key = (id(throws), a_bag, habits)
        if key not in done:
            done[key] = root = tmp_path_factory.mktemp("recorded")
            for first in range(0, len(throws), a_bag):
                folder = root / ("bag" if a_bag == len(throws) else f"bag/episode_{first // a_bag}")
                recorder = Recorder(folder, world, habits)
                time = 0.5
                for i in range(first, min(first + a_bag, len(throws))):
                    time = recorder.throw(i, throws[i], time)
                recorder.save()
        return done[key] / "bag"

    return write


@pytest.fixture
def record(tmp_path: Path, recorded: Callable[..., Path]) -> Record:
    """record(throws, name="bag", a_bag=…, **Habits) → bag folders with `a_bag` throws each."""

    def write(throws: Throws, name: str = "bag", a_bag: int | None = None, **habits: object) -> list[Path]:
        bags = recorded(throws, a_bag or len(throws), replace(Habits(), **habits))
        mine = Path(shutil.copytree(bags, tmp_path / name))
        return (
            [mine] if a_bag is None else sorted(mine.iterdir(), key=lambda f: int(f.name.rpartition("_")[2]))
        )

    return write


@pytest.fixture(scope="session")
def swings(world: World) -> Callable[[int], Throws]:
    return lambda count: swing(world, count, seed=2)


@pytest.fixture(scope="session")
def throws(world: World) -> Throws:
    return swing(world, 4, seed=1)
