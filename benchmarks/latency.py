"""How long the policy node takes from a joint state to the command that answers it, over real topics.

    python benchmarks/latency.py [RUN] [--seconds 60] [--rates 50,100,250] [--executors single,multi]
                                 [--learner] [--priority 50]

sim_arm runs by the wall clock, the policy node throws again and again, each in a process of its own, for
`seconds` at each rate with each executor; `--learner` lets a third process learn meanwhile. Both times are
when the message was given to DDS. A period is missed when the next state was sent before the command. With
`--priority` both nodes are real-time processes (SCHED_FIFO), as the controllers of an arm are, and so is this
one, which shares their memory: what else the machine does counts for little.
Without a RUN, a clone of the three throws in test/data throws.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from irl_ros.irl.learn import learn
from irl_ros.nodes import interface as names
from irl_ros.nodes.arm_link import Polled, waiting
from irl_ros.nodes.priority import take_priority
from irl_ros.nodes.session import LIMIT, Session

SAMPLE = Path(__file__).parents[1] / "test" / "data" / "sample_throws"
SECONDS_A_THROW = 1.2


class Stopwatch:
    """Source times of states and commands, looked at after a throw: woken by each it would slow the nodes."""

    def __init__(self, session: Session) -> None:
        self._subscriptions = [
            session.node.create_subscription(
                kind, topic, lambda _: None, qos, raw=True, callback_group=Polled()
            )
            for kind, topic, qos in (
                (JointState, names.JOINT_STATES, names.SENSOR_RECORDED),
                (Float64MultiArray, names.ARM_COMMANDS, names.COMMAND_RECORDED),
            )
        ]
        self._node = session.node

    def result(self) -> tuple[np.ndarray, int]:
        """Latencies, ms, and missed periods of the throw since the last call; forgets it."""
        states, commands = (
            np.sort([about["source_timestamp"] for _, about in waiting(subscription)])
            for subscription in self._subscriptions
        )
        commands = commands[1:]  # the first is sent when the throw is asked for
        answered = np.searchsorted(states, commands) - 1
        commands, answered = commands[answered >= 0], answered[answered >= 0]
        missed = int(answered[-1] - answered[0] + 1 - len(np.unique(answered))) if len(answered) else 0
        return (commands - states[answered]) * 1e-6, missed

    def close(self) -> None:
        """Listen no longer."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)


def measure(
    session: Session, run: Path, folder: Path, rate: int, executor: str, seconds: float, priority: int
) -> tuple[np.ndarray, int, int, int]:
    """Latencies [K], ms, of throws that take `seconds` together; missed periods, stopped throws, throws."""
    world = folder / f"at_{rate}_hz.yaml"
    world.write_text(yaml.safe_dump({"control_hz": rate, "horizon": round(SECONDS_A_THROW * rate)}))
    aim = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    target = PointStamped()
    target.point.x, target.point.y = 0.9, 0.1
    aim.publish(target)
    # stamps as regular as an arm's; the policy needs no /clock, as beside an arm
    live = {"simulated_time": False, "world": str(world), "priority": priority}
    arm = session.start("sim_arm", publish_clock=True, **live)
    policy = session.start("policy", run=str(run), enabled=True, executor=executor, **live)
    if priority:
        take_priority(priority)
    throw = session.node.create_client(Trigger, "policy/throw")
    session.until(lambda: session.ask("policy/throw")[0], LIMIT, "the policy did not throw")
    watch, latencies, missed, end = Stopwatch(session), [], 0, time.monotonic() + seconds
    stopped = 0
    while time.monotonic() < end:
        session.demand("sim_arm/reset")
        watch.result()
        answer = throw.call_async(Trigger.Request())
        session.until(answer.done, LIMIT, "the throw did not end")
        stopped += not answer.result().success
        some, lost = watch.result()
        latencies.append(some)
        missed += lost
    watch.close()
    session.node.destroy_publisher(aim)
    session.stop(policy, arm)
    return np.concatenate(latencies), missed, stopped, len(latencies)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", nargs="?", type=Path)
    p.add_argument("--seconds", type=float, default=60.0)
    p.add_argument("--rates", default="50,100,250")
    p.add_argument("--executors", default="single,multi")
    p.add_argument("--priority", type=int, default=0, help="real-time priority; 0: ordinary processes")
    p.add_argument("--learner", action="store_true")
    o = p.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = Path(tempfile.mkdtemp())
    clone = {"algo": "bc", "overrides": ["bc.steps=400"]}
    run = o.run or learn([SAMPLE], folder / "clone", **clone)
    beside = "a learner beside" if o.learner else "nothing beside"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {beside}, priority {o.priority}")
    print("  Hz executor     p50     p99     max ms   missed of states, throws, stopped throws")
    with Session("irl_ros_latency", folder / "log", forked=True) as session:
        if o.learner:
            session.start(
                "learner", simulated_time=False, paths=[str(SAMPLE)], out=str(folder / "run"), begin=True
            )
        for rate in map(int, o.rates.split(",")):
            for executor in o.executors.split(","):
                ms, missed, stopped, throws = measure(
                    session, run, folder, rate, executor, o.seconds, o.priority
                )
                p50, p99 = np.percentile(ms, (50, 99))
                figures = f"{rate:>4} {executor:<8} {p50:7.2f} {p99:7.2f} {ms.max():7.2f}   "
                print(f"{figures} {missed:>6} of {len(ms)}, {throws}, {stopped}", flush=True)


if __name__ == "__main__":
    main()
