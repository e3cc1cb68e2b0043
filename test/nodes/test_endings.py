"""How nodes end: politely on a signal, with one line on bad parameters, and never later than the session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter

from irl_ros.demos.message_types import JOINT_STATE, typestore
from irl_ros.errors import InputError
from irl_ros.nodes import interface as names
from irl_ros.nodes.__main__ import NODES
from irl_ros.nodes.recorder import Recorder
from irl_ros.nodes.recording import LOCKSTEP_MAX_AGE
from irl_ros.nodes.session import LIMIT, Session


def test_every_node_ends_on_a_signal_without_a_traceback(tmp_path, bundle):
    parameters = {
        "policy": {"run": str(bundle)},
        "recorder": {"out": str(tmp_path / "demos")},
        # lock-step: the operator throws meanwhile, and a busy machine must not make the arm run away from it
        "sim_arm": {"real_time_factor": 0.0},
        "operator": {"max_age": LOCKSTEP_MAX_AGE},
    }
    with Session("irl_ros_test", tmp_path / "log", forked=True) as session:
        heard: set[str] = set()
        session.node.create_subscription(
            DiagnosticArray, names.DIAGNOSTICS, lambda m: heard.update(s.name for s in m.status), 10
        )
        children = [session.start(name, **parameters.get(name, {})) for name in NODES]
        session.until(lambda: heard >= set(NODES), LIMIT, f"only {heard} came up")
        for child in children:
            child.wanted = False
            # both are one piece of code for all nodes
            child.process.send_signal(
                signal.SIGINT if child.name in ("operator", "policy") else signal.SIGTERM
            )
        for child in children:
            assert child.process.wait(LIMIT) == 0, child.name
            assert "Traceback" not in child.log.read_text(), child.name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_midst_of_its_imports_ends_a_node_without_a_traceback(number):
    command = [sys.executable, "-X", "importtime", "-m", "irl_ros.nodes", "sim_arm"]
    node = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    imported = (line.rpartition("|")[2].strip() for line in node.stderr)
    assert "numpy" in imported, "it never began"
    node.send_signal(number)  # torch and PyBullet are still to come
    told = list(imported)
    assert node.wait(LIMIT) == 0 and "pybullet" not in told and not any("Traceback" in t for t in told)


def test_a_closed_terminal_ends_a_node_in_order(tmp_path):
    with Session("irl_ros_test", tmp_path / "log", forked=True) as session:
        heard: list[DiagnosticArray] = []
        session.node.create_subscription(DiagnosticArray, names.DIAGNOSTICS, heard.append, 10)
        child = session.start("recorder", simulated_time=False, out=str(tmp_path / "demos"))
        session.until(lambda: bool(heard), LIMIT, "no recorder")
        child.wanted = False
        child.process.send_signal(signal.SIGHUP)
        assert child.process.wait(LIMIT) == 0


def test_an_episode_that_only_the_disk_kept_from_being_saved_is_saved_at_the_end(tmp_path, monkeypatch):
    with Session("irl_ros_test", tmp_path / "log"):
        node = Recorder()
        given = {"out": str(tmp_path / "demos"), "needs": ["joint_states"], "audit": False}
        node.set_parameters([Parameter(key, value=value) for key, value in given.items()])
        try:
            node.come_up()
            types, zero = typestore().types, np.zeros(0)
            stamp = types["builtin_interfaces/msg/Time"](sec=int(time.time()), nanosec=0)
            header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="")
            joints, home = node.world.robot.joints, node.world.home
            state = types[JOINT_STATE](header, name=joints, position=home, velocity=zero, effort=zero)
            cdr = bytes(typestore().serialize_cdr(state, JOINT_STATE))
            node.session.hear("joint_states", time.time_ns(), cdr, node.seconds())
            assert node.session.start(node.seconds(), ()).done
            with monkeypatch.context() as full:

                def keep(*_: object) -> None:
                    raise InputError("demos", "cannot be written (No space left on device)")

                full.setattr(node.session.folder, "keep", keep)
                assert "kept in memory" in node.session.stop().text
        finally:
            node.close()
            node.destroy_node()
    assert (tmp_path / "demos" / "episode_0000").is_dir()


BAD = [
    ("sim_arm", {"world": "defualt"}, "unknown world 'defualt'; did you mean 'default'?"),
    ("operator", {"episodes": "many"}, "episodes"),
    ("recorder", {"max_duration": -1.0}, "max_duration"),
    ("learner", {"begin": True}, "parameter paths: is not set"),
]


def test_bad_parameters_are_one_line_and_exit_2(tmp_path, bundle):
    robot = tmp_path / "iiwa_world.yaml"
    robot.write_text("robot: iiwa\n")
    cases = [*BAD, ("policy", {"run": str(bundle), "world": str(robot)}, "was trained on robot 'panda'")]
    with Session("irl_ros_test", tmp_path) as session:
        for i, (name, parameters, _) in enumerate(cases):
            session.logs = tmp_path / str(i)
            session.logs.mkdir()
            child = session.start(name, **parameters)
            child.wanted = False
        for child, (name, _, complaint) in zip(list(session.children), cases, strict=True):
            assert child.process.wait(LIMIT) == 2, name
            lines = child.log.read_text().strip().splitlines()
            assert len(lines) == 1 and complaint in lines[0], lines


PARENT = """
import sys, time
from pathlib import Path
from irl_ros.nodes.session import Session
with Session("parent", Path(sys.argv[1])) as session:
    child = session.start("recorder", out=sys.argv[1] + "/demos")
    session.ask("recorder/stop_episode")  # it is up
    print(child.process.pid, flush=True)
    time.sleep(600)
"""


def test_children_do_not_outlive_a_session_that_is_killed(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until_gone(child)


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return  # dead; nobody has asked for its exit code yet
        except FileNotFoundError:
            return
        os.sched_yield()
    pytest.fail(f"process {pid} is still there")


def test_a_failed_node_ends_the_wait_with_its_last_words(tmp_path):
    with Session("irl_ros_test", tmp_path) as session:
        session.start("sim_arm", simulator="gazebo")
        with pytest.raises(
            RuntimeError, match=r"node sim_arm ended with code 2: .*unknown simulator 'gazebo'"
        ):
            session.ask("sim_arm/reset", LIMIT)


def test_a_session_ends_its_children_when_its_block_raises(tmp_path):
    processes = []
    for forked in (False, True):
        with pytest.raises(KeyboardInterrupt), Session("irl_ros_test", tmp_path, forked=forked) as session:
            processes.append(session.start("learner").process)
            raise KeyboardInterrupt
    assert all(process.returncode is not None for process in processes)


def test_a_session_has_a_domain_of_its_own_unless_told(tmp_path, monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    with Session("irl_ros_test", tmp_path):
        own = os.environ["ROS_DOMAIN_ID"]
        assert 1 <= int(own) <= 100
    assert "ROS_DOMAIN_ID" not in os.environ
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    with Session("irl_ros_test", tmp_path):
        assert os.environ["ROS_DOMAIN_ID"] == "42"
