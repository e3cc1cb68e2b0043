"""The learner node: what it says on irl/learner, what it leaves, and how it is stopped."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import pytest

from irl_ros.irl.run_directory import RunDirectory
from irl_ros.msg import LearnerStatus
from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.rl.policy import load_policy

QUICK = ["bc.steps=20", "airl.ppo.episodes=64", "policy.hidden=[16]", "trainer.checkpoint_every=1"]


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
