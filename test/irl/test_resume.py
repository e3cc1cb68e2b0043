"""A run that was stopped and resumed ends with the same bytes as one that nobody stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from irl_ros.errors import InputError
from irl_ros.irl.checkpoint import load_checkpoint
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import RunDirectory, read_metrics
from irl_ros.irl.stopping import stop_between_rounds
from irl_ros.irl.transfer import transfer
from irl_ros.rl.agent import Actor
from irl_ros.rl.throw_task import ThrowTask

QUICK_TRANSFER = ("reoptimise.iterations=5", "reoptimise.ppo.episodes=16", "trainer.checkpoint_every=2")
TAKES_NO_PART = {"wall_s", "steps_per_s", "remaining_s"}


def assert_same(resumed: Path, undisturbed: Path) -> None:
    """The same networks, and every round's figures once."""
    for name in ("policy.safetensors", "reward.safetensors"):
        assert (resumed / name).read_bytes() == (undisturbed / name).read_bytes(), name
    figures = [
        [{k: v for k, v in line.items() if k not in TAKES_NO_PART} for line in read_metrics(run)]
        for run in (resumed, undisturbed)
    ]
    assert figures[0] == figures[1]


def test_resuming_equals_never_stopping(
    bags: Path,
    quick: tuple[str, ...],
    tmp_path: Path,
    uninterrupted: Path,
    interrupt_after: Callable[[int], None],
) -> None:
    """Stopped before any checkpoint, while learning, at the end of a stage and while polishing."""
    # checkpoints are written after rounds 2, 4 (and on entering the polish) and 6
    run = tmp_path / "run"
    for rounds in (1, 3, 4, 5):
        interrupt_after(rounds)
        with pytest.raises(KeyboardInterrupt):
            if rounds == 1:
                learn([bags], run, device="cpu", overrides=quick)
            learn([], run, resume=True)
        assert len(read_metrics(run)) == rounds and not (run / "policy.yaml").exists()
    learn([], run, resume=True)
    assert_same(run, uninterrupted)


@pytest.fixture
def terminal() -> Iterator[None]:
    """Ctrl-C is heard, as in a terminal; a shell starts what runs in its background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_leaves_a_checkpoint_of_the_round_it_came_in(
    bags: Path,
    quick: tuple[str, ...],
    tmp_path: Path,
    uninterrupted: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, practice, rounds = tmp_path / "run", ThrowTask.practice, []

    def signalled(self: ThrowTask, policy: Actor) -> dict[str, float]:
        if len(rounds) < 2:
            rounds.append(policy)
            os.kill(os.getpid(), signal.SIGINT)  # in the midst of a round
        return practice(self, policy)

    monkeypatch.setattr(ThrowTask, "practice", signalled)
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            options = (
                {} if resume else {"device": "cpu", "overrides": [*quick, "trainer.checkpoint_every=100"]}
            )
            learn([] if resume else [bags], run, resume=resume, **options)
        assert load_checkpoint(RunDirectory(run).checkpoint)["iteration"] == len(read_metrics(run)) > 0
    learn([], run, resume=True)
    assert len(rounds) == 2 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(run, uninterrupted)


@pytest.mark.usefixtures("terminal")
def test_a_second_ctrl_c_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), stop_between_rounds() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it waited")


IN_PYBULLET = (
    "bc.steps=10",
    "airl.rival=0",
    "airl.iterations=3",
    "airl.ppo.episodes=4",
    "airl.sampler_episodes=2",
    "polish.iterations=1",
    "polish.ppo.episodes=4",
)
"""On top of `quick`: four rounds, checkpoints after rounds 2, 3 and 4, few throws."""


def test_resuming_in_pybullet_equals_never_stopping(
    bags: Path,
    quick: tuple[str, ...],
    tmp_path: Path,
    interrupt_after: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And so does running again, on another number of cores."""
    monkeypatch.setattr("irl_ros.rl.throw_task.PRACTICE_THROWS", 6)

    def run(name: str, resume: bool = False) -> Path:
        paths = [] if resume else [bags]
        return learn(paths, tmp_path / name, sim="pybullet", overrides=[*quick, *IN_PYBULLET], resume=resume)

    whole = run("whole")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    interrupt_after(3)
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    assert_same(run("stopped", resume=True), whole)


KILLED_AFTER_THREE = """
import os, signal, sys, torch
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import RunDirectory
write = RunDirectory.append_metrics
def append_metrics(self, line):
    write(self, line)
    if line["iteration"] == 3:
        with self.metrics.open("a") as file:
            file.write('{"iteration": 4, "iterati')  # as a kill in mid-write leaves it
        os.kill(os.getpid(), signal.SIGKILL)
RunDirectory.append_metrics = append_metrics
torch.set_num_threads(1)
learn([sys.argv[1]], sys.argv[2], device="cpu", overrides=sys.argv[3:])
"""


def test_a_killed_process_leaves_a_run_that_resumes_to_the_same_end(
    bags: Path, quick: tuple[str, ...], tmp_path: Path, uninterrupted: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED_AFTER_THREE, str(bags), str(run), *quick]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -9
    learn([], run, resume=True)
    assert_same(run, uninterrupted)


def test_resuming_a_finished_run_changes_nothing(uninterrupted: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*")}
    assert learn([], uninterrupted, resume=True) == uninterrupted
    assert {p: p.stat().st_mtime_ns for p in uninterrupted.rglob("*")} == before


def test_a_resumed_transfer_equals_one_never_stopped(
    uninterrupted: Path, tmp_path: Path, interrupt_after: Callable[[int], None]
) -> None:
    def run(name: str, resume: bool = False) -> Path:
        return transfer(
            uninterrupted, None, tmp_path / name, device="cpu", overrides=QUICK_TRANSFER, resume=resume
        )

    whole = run("whole")
    for rounds in (1, 3, 7):  # the last in the second search
        interrupt_after(rounds)
        with pytest.raises(KeyboardInterrupt):
            run(f"stopped_{rounds}")
        assert_same(run(f"stopped_{rounds}", resume=True), whole)


@pytest.fixture
def stopped(
    bags: Path, quick: tuple[str, ...], tmp_path: Path, interrupt_after: Callable[[int], None]
) -> Path:
    """A run that was stopped after its third round, with a checkpoint after its second."""
    interrupt_after(3)
    with pytest.raises(KeyboardInterrupt):
        learn([bags], tmp_path / "stopped", device="cpu", overrides=quick)
    return tmp_path / "stopped"


def test_other_demonstrations_are_refused(bags: Path, stopped: Path) -> None:
    before = {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="other demonstrations"):
        learn([bags / "episode_0000"], stopped, resume=True)
    assert {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"algo": "gail"}, "--algo gail"),
        ({"seed": 3}, "--seed 3"),
        ({"world": "bin"}, "--world bin"),
        ({"overrides": ["airl.iterations=7"]}, "--set or --config"),
    ],
)
def test_a_run_that_goes_on_takes_no_other_settings(stopped: Path, given: dict, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"was begun otherwise than with {told};")):
        learn([], stopped, resume=True, **given)


def test_a_robot_that_was_changed_meanwhile_is_refused(uninterrupted: Path, tmp_path: Path) -> None:
    run = transfer(uninterrupted, None, tmp_path / "again", device="cpu", overrides=QUICK_TRANSFER)
    (run / "policy.yaml").unlink()
    description = run / "run.yaml"
    sha256 = yaml.safe_load(description.read_text())["robot"]["sha256"]
    description.write_text(description.read_text().replace(sha256, "0" * 64))
    with pytest.raises(InputError, match="robot 'panda' as it was before it was changed"):
        transfer(uninterrupted, None, run, resume=True)


def test_a_run_without_a_polish_is_done_with_its_game(
    bags: Path, quick: tuple[str, ...], tmp_path: Path
) -> None:
    run = learn([bags], tmp_path / "game", device="cpu", overrides=[*quick, "polish.iterations=0"])
    last = read_metrics(run)[-1]
    assert (last["state"], last["remaining_s"]) == ("done", 0.0)


def test_a_run_is_resumed_by_the_verb_that_began_it(uninterrupted: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was made by `irl-ros learn`"):
        transfer(uninterrupted, None, uninterrupted, resume=True)
    with pytest.raises(InputError, match=r"holds no run\.yaml"):
        learn([], tmp_path / "nothing", resume=True)


@pytest.mark.parametrize("damage", ["cut", "of another version"])
def test_a_damaged_checkpoint_is_one_line(stopped: Path, damage: str) -> None:
    if damage == "cut":
        weights = stopped / "checkpoint" / "state.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        (stopped / "checkpoint" / "state.json").write_text('{"dict": [["stage", {"value": 0}]]}')
    with pytest.raises(InputError, match="is damaged") as caught:
        learn([], stopped, resume=True)
    assert "\n" not in str(caught.value)
