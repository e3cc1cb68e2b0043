"""kill -9 on recorder, learner and policy at random moments, and what was lost.

    python benchmarks/kill.py [--trials 200] [--seed 0] [--keep DIR]

Trials go round through four parts:
  recorder  killed while a synthetic person records. Lost may be the open episode; every bag written before
            it must read back whole, and a new recorder must go on in the folder.
  learner   killed while `irl-ros learn` (airl with small settings, a checkpoint after each round) learns.
            `--resume` must end with the policy that learning without interruption gives: same weights, bit
            by bit.
  forward   the policy is killed while it streams velocities. forward_command_controller keeps the last
            command for ever, which is told as what happened without a watchdog; with command_timeout the arm
            must come to rest.
  planned   the policy is killed while its throw runs as one trajectory. The arm must end at rest where the
            trajectory ends.
Everything runs in lock-step or without a clock, so a loaded machine changes the moments, not the verdicts.
Processes are forked from one that has imported everything, or most of the time would go to imports.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import torch
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from irl_ros import cli
from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.nodes import interface as names
from irl_ros.nodes.recording import LOCKSTEP_MAX_AGE, recorded
from irl_ros.nodes.session import LIMIT, Child, Session
from irl_ros.rewards.features import Features
from irl_ros.rl.policy import Policy, PolicySettings, load_policy
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, load_world

FORKS = multiprocessing.get_context("forkserver")
SAMPLE = Path(__file__).parents[1] / "test" / "data" / "sample_throws"
SMALL = {
    "bc.steps": 60,
    "bc.batch": 64,
    "policy.hidden": "[32, 32]",
    "airl.iterations": 8,
    "airl.least": 99,
    "airl.head_start": 1,
    "airl.discriminator_steps": 3,
    "airl.batch": 64,
    "airl.sampler_episodes": 8,
    "airl.ppo.episodes": 16,
    "polish.iterations": 4,
    "polish.ppo.episodes": 16,
    "trainer.checkpoint_every": 1,
}
"""Every stage of learning, in seconds; nothing gets good."""
TIMEOUT = 0.1  # s; of the simulated watchdog


def kill(child: Child) -> None:
    """As the kernel does it when memory is short."""
    child.wanted = False
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()


class RecorderTrials:
    """One session; its recorder is killed and started again, the operator throws on and on."""

    def __init__(self, folder: Path) -> None:
        self.out, self._logs = folder / "demos", folder / "log_recorder"
        self._session: Session | None = None

    def trial(self, rng: random.Random) -> str:
        with Session("irl_ros_kill", self._logs, forked=True) as session:
            session.start("sim_arm", real_time_factor=0.0)
            recorder = session.start("recorder", out=str(self.out))
            seed = rng.randrange(1000)
            operator = session.start("operator", episodes=1000, max_age=LOCKSTEP_MAX_AGE, seed=seed)
            operator.wanted = False
            before, wanted = recorded(self.out), rng.randint(0, 2)
            session.until(lambda: recorded(self.out) >= before + wanted, LIMIT, "no episode")
            end = time.monotonic() + rng.uniform(0.0, 1.5)
            session.until(lambda: time.monotonic() > end, LIMIT, "")
            kill(recorder)
            whole = recorded(self.out)
            for path in self.out.iterdir():
                if not (path / "metadata.yaml").is_file():
                    continue
                throws = load_demonstrations(path, load_world())
                if len(throws.throws) != 1:
                    return f"LOST: {path.name} holds {len(throws.throws)} throws"
            if whole < before + wanted:
                return f"LOST: {before + wanted - whole} finished episodes"
        return "the open episode at most; every bag written before reads back"


class LearnerTrials:
    """`irl-ros learn` killed somewhere, resumed, and compared with one that was left alone."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._truth, self._duration = folder, "", 0.0
        self._log = folder / "log_learner.txt"

    def _learn(self, run: Path, *more: str) -> ForkServerProcess:
        settings = [text for key, value in SMALL.items() for text in ("--set", f"{key}={value}")]
        command = [
            "learn",
            str(SAMPLE),
            "--out",
            str(run),
            "--algo",
            "airl",
            "--device",
            "cpu",
            "--seed",
            "1",
        ]
        process = FORKS.Process(target=_verb, args=([*command, *settings, *more], self._log))
        process.start()
        return process

    def trial(self, rng: random.Random) -> str:
        if not self._truth:
            begun, run = time.monotonic(), self._folder / "undisturbed"
            process = self._learn(run)
            process.join()
            if process.exitcode:
                return f"FAILED: learning without a kill, see {self._log}"
            self._truth, self._duration = load_policy(run).sha256, time.monotonic() - begun
        run = self._folder / "learned"
        shutil.rmtree(run, ignore_errors=True)
        process = self._learn(run)
        process.join(rng.uniform(0.05, 1.0) * self._duration)
        process.kill()
        process.join()
        again = self._learn(run, *(["--resume"] if (run / "run.yaml").is_file() else []))
        again.join()
        if again.exitcode:
            return f"LOST: resume fails: {self._log.read_text().splitlines()[-1]}"
        if load_policy(run).sha256 != self._truth:
            return "LOST: another policy than without interruption"
        return "nothing: the same policy, bit by bit"


def _verb(arguments: list[str], log: Path) -> None:
    """`irl-ros` with these arguments, in a process of its own; what it says goes to the log."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    torch.set_num_threads(1)
    sys.exit(cli.main(arguments))


class PolicyTrials:
    """A throw over topics whose policy node is killed somewhere in it."""

    def __init__(self, folder: Path, run: Path, controller: str) -> None:
        self._folder, self._run, self._controller = folder, run, controller
        self._count = 0

    def trial(self, rng: random.Random) -> str:
        self._count += 1
        watchdog = TIMEOUT if self._controller == "forward_velocity" and self._count % 2 else 0.0
        with Session("irl_ros_kill", self._folder / f"log_{self._controller}", forked=True) as session:
            return self._in(session, rng, watchdog)

    def _in(self, session: Session, rng: random.Random, watchdog: float) -> str:
        joints: list[JointState] = []
        plans: list[JointTrajectory] = []
        node = session.node
        node.create_subscription(JointState, names.JOINT_STATES, joints.append, names.SENSOR_RECORDED)
        node.create_subscription(JointTrajectory, names.ARM_TRAJECTORY, plans.append, names.COMMAND_RECORDED)
        aim = node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
        message = PointStamped()
        message.point.x, message.point.y = rng.uniform(0.75, 1.05), rng.uniform(-0.3, 0.3)
        aim.publish(message)
        shared = {"controller": self._controller}
        session.start("sim_arm", real_time_factor=0.0, command_timeout=watchdog, **shared)
        policy = session.start(
            "policy", run=str(self._run), enabled=True, max_age=LOCKSTEP_MAX_AGE, tracking=0.2, **shared
        )
        self._throw(session, joints, rng.randint(1, 55))
        kill(policy)
        moving = np.abs(joints[-1].velocity).max()

        def rested() -> bool:
            return max(np.abs(m.velocity).max() for m in joints[-10:]) < 1e-6

        # in lock-step the world waits 2 s for the dead policy, then goes on by the wall clock
        count = len(joints)
        session.until(lambda: len(joints) > count + 120, LIMIT, "the world stands still")
        if plans:
            off = np.abs(np.array(joints[-1].position) - plans[-1].points[-1].positions).max()
            if rested() and off < 1e-2:
                return "nothing: the trajectory went on to its end, at rest"
            return f"UNSAFE: not at rest at the trajectory's end ({off:.3f} rad off)"
        if watchdog:
            return "the throw; the watchdog brought the arm to rest" if rested() else "UNSAFE: arm moves on"
        if moving < 1e-3:
            return "the throw; the arm rested when the policy died"
        return "the throw; WITHOUT A WATCHDOG THE LAST COMMAND PERSISTED (as on hardware)"

    def _throw(self, session: Session, joints: list[JointState], states: int) -> None:
        """A throw under way, `states` states of it seen."""
        client = session.node.create_client(Trigger, "policy/throw")
        session.until(client.service_is_ready, LIMIT, "no policy")

        def under_way() -> bool:
            session.demand("sim_arm/reset")
            begun, answer = len(joints), client.call_async(Trigger.Request())
            session.until(lambda: answer.done() or len(joints) > begun + states, LIMIT, "no throw")
            return not answer.done() or answer.result().success

        session.until(under_way, LIMIT, "the policy does not throw")


def small_clone(folder: Path) -> Path:
    """A RUN with a policy that throws."""
    world, run = load_world(), folder / "clone"
    run.mkdir()
    torch.manual_seed(0)
    policy = Policy(world, PolicySettings(hidden=(64, 64)))
    throws = load_demonstrations(SAMPLE, world).throws
    policy.observation.freeze(throws.states)
    task = ThrowTask(BatchWorld(world), policy.observation, Features(world))
    clone(policy, task.trajectories(throws), BCSettings(steps=400, batch=128))
    policy.save(run)
    return run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for what is left; default: a temporary one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="irl_ros-kill-"))
    folder.mkdir(parents=True, exist_ok=True)
    run = small_clone(folder)
    parts: dict[str, Callable[[random.Random], str]] = {
        "recorder": RecorderTrials(folder).trial,
        "learner": LearnerTrials(folder).trial,
        "forward": PolicyTrials(folder, run, "forward_velocity").trial,
        "planned": PolicyTrials(folder, run, "joint_trajectory").trial,
    }
    rng, lost = random.Random(options.seed), Counter[tuple[str, str]]()
    for i in range(options.trials):
        part = list(parts)[i % len(parts)]
        verdict = parts[part](rng)
        lost[part, verdict] += 1
        print(f"{i + 1:4}/{options.trials}  {part:9} {verdict}", flush=True)
    print("\nkilled     trials  lost")
    for (part, verdict), count in sorted(lost.items()):
        print(f"{part:9}{count:8}  {verdict}")
    return int(any(v.startswith(("LOST", "UNSAFE", "FAILED")) for _, v in lost))


if __name__ == "__main__":
    raise SystemExit(main())
