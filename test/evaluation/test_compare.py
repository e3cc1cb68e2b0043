"""Real comparisons, as small as they get: what is made, what is kept, what a kill or a failure costs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.errors import InputError
from irl_ros.evaluation.cell_runner import CellRunner
from irl_ros.evaluation.cells import BLOCKED, DONE, FAILED, NO_REWARD, Cell, Place, Result
from irl_ros.evaluation.compare import Plan, compare
from irl_ros.evaluation.comparison import Comparison
from irl_ros.evaluation.grid import Grid, sources_of
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import read_metrics

LEARN = ["bc.steps=20", "bc.batch=64", "airl.iterations=4", "airl.discriminator_steps=2", "airl.batch=32"]
LEARN += ["airl.ppo.episodes=8", "airl.sampler_episodes=8", "airl.head_start=1", "airl.least=99"]
LEARN += ["polish.iterations=1", "polish.ppo.episodes=8", "trainer.checkpoint_every=1"]
TRANSFER = ["reoptimise.iterations=1", "reoptimise.ppo.episodes=8"]
SMALL = {"seeds": 1, "throws": 20, "sim": "batch", "starts": ["fresh"], "device": "cpu"}
SMALL |= {"overrides": LEARN, "transfer_overrides": TRANSFER}


def status(found: Comparison) -> dict[str, str]:
    return {cell.name: found.result(cell).status for cell in found.cells}


def stamps(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in (folder / "cells").rglob("*") if p.is_file()}


@pytest.fixture(scope="module", autouse=True)
def few_throws() -> Iterator[None]:
    """To compare rewards over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("irl_ros.evaluation.compare.REWARD_THROWS", 24)
        yield


@pytest.fixture(scope="module")
def made(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, Path, Comparison]:
    """A comparison that nothing disturbed. Nobody may change it."""
    out = tmp_path_factory.mktemp("made")
    grid = Grid(**{**SMALL, "algos": ["airl", "bc"], "paths": [bags], "demos": [2]})
    return grid, out, compare(grid, out, jobs=2)


def test_every_cell_is_made(made: tuple[Grid, Path, Comparison]) -> None:
    _, out, found = made
    assert status(found) == {
        "learn-airl-bags-2-seed0": DONE,
        "evaluate-airl-bags-2-seed0-default": DONE,
        "reward-airl-bags-2-seed0": DONE,
        "learn-bc-bags-2-seed0": DONE,
        "evaluate-bc-bags-2-seed0-default": DONE,
        "reward-bc-bags-2-seed0": NO_REWARD,
        "transfer-true_reward-seed0-default-fresh": DONE,
        "evaluate-true_reward-seed0-default-fresh": DONE,
        "transfer-airl-bags-2-seed0-default-fresh": DONE,
        "evaluate-airl-bags-2-seed0-default-fresh": DONE,
        "transfer-bc-bags-2-seed0-default-fresh": NO_REWARD,
        "evaluate-bc-bags-2-seed0-default-fresh": NO_REWARD,
    }
    for name in ("compare.json", "compare.md", "compare.html"):
        assert (out / name).stat().st_size > 500
    assert not list(out.rglob("*.part"))
    learned = next(c for c in found.cells if c.name == "learn-airl-bags-2-seed0")
    figures = found.result(learned).figures
    metrics = read_metrics(learned.run)
    assert figures is not None
    assert (figures["rounds"], figures["env_steps"]) == (5, metrics[-1]["env_steps"])
    kept = json.loads((out / "compare.json").read_text())["cells"]
    assert {c["status"] for c in kept} == {DONE, NO_REWARD} and all(Path(c["run"]).is_dir() for c in kept[:6])


def test_made_once(made: tuple[Grid, Path, Comparison]) -> None:
    grid, out, _ = made
    before = stamps(out)
    compare(grid, out)
    assert stamps(out) == before


def planned(bags: Path | list[Path], out: Path, **changes: object) -> dict[str, Cell]:
    """File name → cell of a small grid."""
    paths = bags if isinstance(bags, list) else [bags]
    grid = Grid(**{**SMALL, "algos": ["airl", "bc"], "paths": paths, "demos": [2], **changes})
    return {c.file.name: c for c in Plan(grid, out, sources_of(grid, out)).cells}


def test_what_determines_a_cell_is_in_its_name(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of one algorithm makes new cells of that one; other demonstrations of all; and so on."""
    before = planned(bags, tmp_path)

    def kept(bags: Path | list[Path] = bags, **changes: object) -> list[str]:
        return sorted(before[name].name for name in set(before) & set(planned(bags, tmp_path, **changes)))

    every = sorted(c.name for c in before.values())
    airl = [n for n in every if "-airl-" in n]
    bc = [n for n in every if "-bc-" in n]
    yardstick = [n for n in every if "true_reward" in n]
    assert kept() == every == sorted(airl + bc + yardstick)
    assert kept(overrides=[*LEARN, "airl.batch=33"]) == sorted(bc + yardstick)
    assert kept(overrides=[*LEARN, "bc.steps=21"]) == yardstick  # every algorithm starts from the clone
    others = [bags / f"episode_{k:04d}" for k in (1, 3)]
    assert kept(others) == yardstick
    again = [n for n in every if "-fresh" in n]
    assert kept(transfer_overrides=[*TRANSFER, "reoptimise.settle=0.1"]) == [
        n for n in every if n not in again
    ]
    thrown = [n for n in every if n.startswith("evaluate")]
    assert kept(throws=21) == [n for n in every if n not in thrown]
    assert kept(seeds=2) == every
    monkeypatch.setattr("irl_ros.evaluation.compare.__version__", "99")
    assert kept() == []


def test_a_variant_is_an_algorithm_with_other_settings(bags: Path) -> None:
    grid = Grid(**{**SMALL, "algos": ["bc"], "paths": [bags], "variants": ["mine=bc:3 bc.steps=21"]})
    as_set = Grid(**{**SMALL, "algos": ["bc"], "overrides": [*LEARN, "bc.steps=21"]})
    assert grid.contenders["mine"].settings == as_set.contenders["bc"].settings
    assert grid.contenders["bc"].settings != as_set.contenders["bc"].settings
    assert (grid.contenders["mine"].seeds, grid.seeds_at_most) == (3, 3)


def test_what_is_on_disk_counts_only_for_its_own_key(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "evaluate", throws=5)
    result = Result(DONE, "", {"hit_10cm": 0.5, "median_error_m": float("inf")}, 1.5, "abc")
    cell.keep(result)
    expected = Result(DONE, "", {"hit_10cm": 0.5, "median_error_m": None}, 1.5, "abc")
    assert cell.result() == expected
    whole = cell.file.read_text()
    cell.file.write_text(whole.replace("'throws': 5", "'throws': 6"))
    assert cell.result() is None
    cell.file.write_text(whole[:-20])  # no kill leaves that, but a full disk may
    assert cell.result() is None


# --- demonstrations ---


def test_of_bags_each_seed_draws_its_own_and_more_hold_those_of_fewer(bags: Path, tmp_path: Path) -> None:
    grid = Grid(algos=["bc"], paths=[bags], seeds=3, demos=[2, 4])
    drawn = []
    for (_, seed), source in sources_of(grid, tmp_path).items():
        (few, small), (more, large) = source.choose(2, seed), source.choose(4, seed)
        assert set(few) < set(more) and (len(small), len(large)) == (2, 4)
        assert load_demonstrations(few, grid.places["default"]).sha256 == small.sha256
        drawn.append(tuple(few))
    assert len(set(drawn)) > 1
    with pytest.raises(InputError, match=r"--demos: 7 are not there: the bags hold 6"):
        sources_of(Grid(algos=["bc"], paths=[bags], demos=[7]), tmp_path)


def test_rewards_of_numbers_not_learned_from_are_refused(bags: Path, tmp_path: Path) -> None:
    grid = Grid(**{**SMALL, "algos": ["bc"], "paths": [bags], "transfer_demos": [4]})
    with pytest.raises(InputError, match=r"--transfer-demos: 4 is not among the numbers learned from: 6"):
        compare(grid, tmp_path)


def test_a_synthetic_operator_is_another_person_for_each_seed(tmp_path: Path) -> None:
    grid = Grid(algos=["bc"], seeds=2, demos=[1, 2], operators=["tired"])
    found = sources_of(grid, tmp_path)
    assert list(found) == [("tired", 0), ("tired", 1)]
    assert len({s.demonstrations.sha256 for s in found.values()}) == 2
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    again = sources_of(grid, tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert again["tired", 1].choose(1, 1)[0] == [found["tired", 1].demonstrations.sources[0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algos": ["arl"]}, "unknown algorithm 'arl'; did you mean 'airl'"),
        ({"algos": ["airl:many"]}, "expected a number of seeds"),
        ({"variants": ["logit"]}, "--variant: 'logit' is not NAME=ALGO KEY=VALUE"),
        ({"variants": ["mine=arl"]}, "--variant: unknown algorithm 'arl'"),
        ({"variants": ["mine=airl airl.batchs=3"]}, "--variant: unknown key 'airl.batchs'"),
        ({"variants": ["airl=airl airl.batch=3"]}, "two rows have one name"),
        ({"operators": ["drunk"]}, "unknown operator 'drunk'"),
        ({"operators": ["clean"], "paths": ["x"]}, "bags were given"),
        ({"transfer_worlds": ["moon"]}, "unknown world 'moon'"),
        ({"starts": ["cold"]}, "unknown start 'cold'"),
        ({"demos": [3], "transfer_demos": [5]}, "5 is not among --demos"),
        ({"demos": [3, 5, 3]}, "--demos: names one twice: 3, 5, 3"),
        ({"operators": ["clean", "clean"]}, "--operators: names one twice"),
        ({"overrides": ["airl.batchs=3"]}, "did you mean 'airl.batch'"),
        ({"transfer_overrides": ["reoptimise.rounds=3"]}, "--transfer-set: unknown key"),
        ({"sim": "gazebo"}, "unknown simulator"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_a_wrong_grid_is_one_line(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Grid(**changes)
    assert "\n" not in str(caught.value)


# --- failures ---


def test_a_run_that_diverges_is_told_and_the_rest_goes_on(bags: Path, tmp_path: Path) -> None:
    wild = [*LEARN, "airl.ppo.learning_rate=1.0e+30"]
    grid = Grid(**{**SMALL, "algos": ["airl", "bc"], "paths": [bags], "overrides": wild})
    found = compare(grid, tmp_path, jobs=2)
    got = status(found)
    assert got["learn-airl-bags-6-seed0"] == FAILED and got["learn-bc-bags-6-seed0"] == DONE
    assert got["transfer-airl-bags-6-seed0-default-fresh"] == BLOCKED
    assert got["evaluate-true_reward-seed0-default-fresh"] == DONE
    ((cell, result),) = found.failures()
    assert result.reason and "\n" not in result.reason
    assert f"| {cell.name} | {result.reason}" in (tmp_path / "compare.md").read_text()
    failed = cell.file.stat().st_mtime_ns
    compare(grid, tmp_path)
    assert cell.file.stat().st_mtime_ns == failed  # not tried again
    compare(grid, tmp_path, retry=True)
    assert cell.file.stat().st_mtime_ns > failed


def cell_of(folder: Path, stage: str, needs: Sequence[Cell] = (), **how: object) -> Cell:
    place = Place("bc", "bags", 1, 0, "default", stage)
    return Cell(stage, place, {"how": str(how)}, folder, how, tuple(needs), needs[0] if needs else None)


def test_a_process_that_dies_costs_its_cell(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """One has nothing to evaluate, which is an error; one is killed from outside and cannot say a word."""
    wrong = cell_of(tmp_path, "evaluate", throws=5)
    slow = cell_of(tmp_path, "learn", paths=[bags], algo="bc", overrides=["bc.steps=100000000"])
    log = str(slow.file.with_suffix(".log"))

    def after(cell: Cell, result: Result) -> None:
        if cell is wrong:
            (worker,) = wait_for(lambda: processes_that_hold(log))
            os.kill(worker, signal.SIGKILL)

    results = CellRunner([slow, wrong], jobs=2, after=after).run()
    assert results[wrong].status == FAILED and "no such run directory" in results[wrong].reason
    assert results[slow] == slow.result() and "signal 9 (out of memory?)" in results[slow].reason
    assert "2/2 cells" in capsys.readouterr().out


def test_what_can_never_be_made_is_not_waited_for(tmp_path: Path) -> None:
    first = cell_of(tmp_path, "evaluate", throws=5)
    first.keep(Result(FAILED, "diverged"))
    second = cell_of(tmp_path, "reward", [first], throws=5)
    assert CellRunner([first, second]).run()[second] == Result(BLOCKED, "diverged")


# --- stopped ---

LONGER = [*LEARN, "airl.iterations=24", "trainer.checkpoint_every=3"]


def wait_for(there: Callable[[], Any]) -> Any:
    """Until `there` is true, which it is within two minutes; what it said."""
    limit = time.monotonic() + 120
    while not (said := there()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return said


def processes_that_hold(path: str) -> list[int]:
    """Ids of processes that have a file open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(f) == path for f in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


def begin(out: Path, bags: Path, rounds: int) -> tuple[subprocess.Popen, str]:
    """The command, when its run has played so many rounds; and the log its worker holds."""
    options = [
        "--algos",
        "airl",
        "--seeds",
        "1",
        "--throws",
        "20",
        "--sim",
        "batch",
        "--transfer-worlds",
        "none",
    ]
    command = [sys.executable, "-m", "irl_ros", "compare", str(bags), "--out", str(out), *options]
    process = subprocess.Popen(
        [*command, "--device", "cpu", *(f"--set={s}" for s in LONGER)], stderr=subprocess.PIPE, text=True
    )
    metrics = wait_for(
        lambda: next((m for m in out.glob("cells/*/metrics.jsonl") if lines(m) >= rounds), None)
    )
    return process, f"{metrics.parent}.log"


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def test_the_same_command_goes_on_to_the_same_end(bags: Path, tmp_path: Path) -> None:
    """Stopped by Ctrl-C, then killed, then left alone: the policy is that of a run that nobody stopped."""
    out = tmp_path / "out"
    process, log = begin(out, bags, rounds=5)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130 and "irl-ros compare: stopped; the same command goes on" in complaint
    assert not processes_that_hold(log)
    assert "**Not finished: 0 of 3 cells.**" in (out / "compare.md").read_text()
    process, log = begin(out, bags, rounds=9)
    process.kill()
    process.wait()
    wait_for(lambda: not processes_that_hold(log))
    assert not Path(log.replace(".log", "/policy.yaml")).exists()  # what it had started ended with it
    asked = {"algos": ["airl"], "paths": [bags], "transfer_worlds": ["none"], "overrides": LONGER}
    found = compare(Grid(**{**SMALL, **asked}), out)
    assert set(status(found).values()) == {DONE}
    whole = learn([bags], tmp_path / "whole", device="cpu", overrides=LONGER)
    for name in ("policy.safetensors", "reward.safetensors"):
        assert (found.cells[0].run / name).read_bytes() == (whole / name).read_bytes()
