"""Verbs that make demonstrations and look at them: demo, record, demos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from irl_ros.cli.options import DONE, add_paths, add_seed, add_set, add_verb, add_world, count


def add_demo(verbs: Any) -> None:
    p = add_verb(
        verbs,
        "demo",
        _demo,
        "the whole loop over ROS 2 topics, with a simulated arm",
        "--out runs/demo --seed 3",
        resumed_by="the same command",
    )
    p.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for the results (%(default)s)")
    p.add_argument("--episodes", type=count, default=24, help="throws the operator records (%(default)s)")
    p.add_argument("--throws", type=count, default=30, help="throws of the deployed policy (%(default)s)")
    p.add_argument("--algo", default="airl", help="learning algorithm (%(default)s)")
    add_world(p, "default")
    add_seed(p)
    add_set(p)


def _demo(o: argparse.Namespace) -> int:
    from irl_ros.nodes.demo import demo

    return demo(o.out, o.seed, o.world, o.episodes, o.throws, o.algo, o.overrides)


def add_record(verbs: Any) -> None:
    p = add_verb(
        verbs,
        "record",
        _record,
        "record episodes into rosbag2 folders",
        "--out demos --episodes 20 --operator synthetic",
    )
    p.add_argument("--out", type=Path, required=True, help="folder that gets one bag for each episode")
    p.add_argument("--episodes", type=count, default=20, help="how many (%(default)s)")
    p.add_argument(
        "--operator", choices=("human", "synthetic"), default="synthetic", help="who throws (%(default)s)"
    )
    p.add_argument(
        "--input",
        choices=("keyboard", "joystick", "joy", "leader", "twist"),
        default="keyboard",
        help="what a human moves the arm with; joy is joystick (%(default)s)",
    )
    p.add_argument("--mapping", default="", metavar="YAML", help="of that device (config/teleop)")
    p.add_argument(
        "--arm", choices=("sim", "real"), default="sim", help="a human's arm: simulated, or on your topics"
    )
    p.add_argument(
        "--controller",
        choices=("forward_velocity", "forward_position"),
        default="forward_velocity",
        help="of a human's arm: what its command topic takes (%(default)s)",
    )
    p.add_argument("--name", default="", help="who the human is; noted in every episode")
    p.add_argument("--countdown", type=float, default=3.0, metavar="S", help="before a human's episode")
    add_world(p, "default")
    add_seed(p)


def _record(o: argparse.Namespace) -> int:
    if o.operator == "human":
        from irl_ros.nodes.human_recording import Recording, record_by_hand

        moves = "joystick" if o.input == "joy" else o.input
        throw = (o.out, o.episodes, o.world, moves, o.mapping, o.arm, o.controller)
        return record_by_hand(Recording(*throw, o.name, o.countdown, o.seed))
    from irl_ros.nodes.recording import record

    return record(o.out, o.episodes, o.world, o.seed)


def add_demos(verbs: Any) -> None:
    p = add_verb(
        verbs,
        "demos",
        _demos,
        "what is in these bags: episodes, outcomes, rates, gaps, joints",
        "runs/demo/demos",
    )
    add_paths(p)
    add_world(p, "default")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _demos(o: argparse.Namespace) -> int:
    from irl_ros.demos.audit import demos_report
    from irl_ros.sim.world import load_world

    print(demos_report(o.paths, load_world(o.world), as_json=o.json))
    return DONE
