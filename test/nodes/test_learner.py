"""The learner node: what it says on irl/learner, what it leaves, and how it is stopped."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus

from irl_ros.action import Learn
from irl_ros.demos.complete_bags import complete_bags
from irl_ros.irl.run_directory import RunDirectory
from irl_ros.msg import LearnerStatus
from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.rl.policy import load_policy

QUICK = [
    "bc.steps=20",
    "airl.head_start=1",
    "airl.discriminator_steps=2",
    "airl.batch=64",
    "airl.sampler_episodes=8",
    "airl.ppo.episodes=16",
    "policy.hidden=[16]",
    "trainer.checkpoint_every=1",
]
"""Rounds come fast, and there are many of them."""


@pytest.fixture
def statuses(session: Session, listen) -> list[LearnerStatus]:
    return listen(LearnerStatus, names.LEARNER, names.EVENT)


def test_it_learns_when_started_and_says_so(session, statuses, sample: Path, tmp_path):
    run = tmp_path / "run"
    learner = session.start(
        "learner", simulated_time=False, paths=[str(sample)], out=str(run), algo="bc", overrides=QUICK
    )
    session.until(lambda: bool(statuses), LIMIT, "no status")
    assert statuses[-1].state == "idle" and not run.exists(), "it waits to be told"
    session.demand("learner/start")
    session.until(lambda: statuses[-1].state in ("done", "failed"), LIMIT, "it does not end")
    assert statuses[-1].state == "done", statuses[-1].message
    assert statuses[-1].run_dir == str(run)
    assert math.isnan(statuses[-1].discriminator_accuracy), "cloning has none"
    load_policy(run)
    session.stop(learner)


def test_a_fault_of_the_user_is_told_on_the_topic(session, statuses, tmp_path):
    learner = session.start(
        "learner", paths=[str(tmp_path / "nothing")], out=str(tmp_path / "run"), begin=True
    )
    session.until(lambda: bool(statuses) and statuses[-1].state == "failed", LIMIT, "no failure")
    assert "nothing: no such folder" in statuses[-1].message
    assert not (tmp_path / "run").exists()
    session.stop(learner)


def test_a_signal_in_mid_learning_leaves_a_run_that_resumes(session, statuses, sample, tmp_path):
    run = RunDirectory(tmp_path / "run")
    parameters = {"paths": [str(sample)], "out": str(run.path), "overrides": QUICK, "begin": True}
    learner = session.start("learner", simulated_time=False, **parameters)
    session.until(lambda: bool(statuses) and statuses[-1].iteration >= 2, LIMIT, "no second round")
    seen = statuses[-1]
    assert seen.state == "learning" and seen.algo == "airl" and seen.rate > 0 and seen.iterations > 2
    assert 0 <= seen.hit_rate <= 1 and 0 <= seen.discriminator_accuracy <= 1
    learner.wanted = False
    learner.process.send_signal(signal.SIGINT)
    assert learner.process.wait(LIMIT) == 0
    text = learner.log.read_text()
    assert "Traceback" not in text
    assert run.path.is_dir() and not run.finished
    statuses.clear()
    again = session.start("learner", simulated_time=False, resume=True, **parameters)
    session.until(lambda: any(s.state == "learning" for s in statuses), LIMIT, "it does not resume")
    assert next(s.iteration for s in statuses if s.state == "learning") > seen.iteration
    session.stop(again)


@pytest.fixture
def goals(session: Session, goals_of: Callable):
    learner = session.start("learner", simulated_time=False)
    yield goals_of(Learn, "learner/learn")
    session.stop(learner)


def test_goals_cancel_preempt_and_finish(goals, sample, tmp_path):
    assert not goals.send(out=str(tmp_path / "none")).accepted, "no recordings are named"
    transferred = tmp_path / "transferred"
    transferred.mkdir()
    (transferred / "run.yaml").write_text("verb: transfer\n")
    assert not goals.send(out=str(transferred), resume=True).accepted, "nothing to go on with"
    first, second = tmp_path / "first", tmp_path / "second"
    goal = {"paths": [str(sample)], "overrides": QUICK}
    canceled = goals.send(out=str(first), **goal)
    seen = goals.wait_for(lambda f: f.iteration >= 2, "no second round")
    assert seen.stage == "learning" and seen.rate > 0 and seen.iterations > 2 and 0 <= seen.hit_rate <= 1
    status, result = goals.cancel(canceled)
    assert status == GoalStatus.STATUS_CANCELED and not result.success
    assert result.run == str(first) and result.message == "canceled; resume goes on"
    assert not RunDirectory(first).finished

    resumed = goals.send(out=str(first), resume=True)  # it knows what it was learning from
    goals.wait_for(lambda f: f.iteration >= 1, "no round")
    assert min(f.iteration for f in goals.feedback if f.stage == "learning") > seen.iteration
    quick = goals.send(out=str(second), algo="bc", **goal)
    status, result = goals.outcome(resumed)
    assert status == GoalStatus.STATUS_ABORTED and result.message.startswith("preempted by a new goal")
    status, result = goals.outcome(quick)
    assert status == GoalStatus.STATUS_SUCCEEDED and result.success and result.message == ""
    load_policy(second)


def test_of_a_folder_that_grows_the_complete_bags_are_taken(sample, tmp_path):
    folder = tmp_path / "demos"
    shutil.copytree(sample, folder)
    whole = sorted(str(p) for p in folder.iterdir())
    still_open = folder / "episode_0009"
    still_open.mkdir()
    (still_open / "episode_0009_0.mcap").write_bytes(b"half a message")
    (folder / ".unfinished").mkdir()
    assert complete_bags([folder]) == (whole, [str(still_open)])
    assert complete_bags([whole[0], folder / "nothing"]) == ([whole[0], str(folder / "nothing")], [])
    assert complete_bags([still_open]) == ([str(still_open)], []), "its reader says what is wrong with it"
