"""The command line as a user meets it: quick help, one line for every mistake, the right exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from irl_ros import cli

VERBS = ("demo", "record", "demos", "learn", "evaluate", "transfer", "compare", "reward", "report")
SAMPLE = Path(__file__).parents[1] / "data" / "sample_throws"


def run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a verb, in this process."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example_that_parses(capsys, verb):
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    example = out[out.index("example:") :].split("irl-ros", 1)[1].split()
    assert cli.parser().parse_args(example).verb == verb


def test_help_needs_nothing_heavy():
    script = "import sys; from irl_ros.cli import parser; parser(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not [m for m in ("torch", "numpy", "rclpy", "pybullet", "yaml") if f"'{m}'" in loaded]


def damaged(tmp_path: Path) -> dict[str, Path]:
    """Things a user might point at by mistake."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "world.yaml").write_text("gravty: 9.8\n")
    (tmp_path / "iiwa.yaml").write_text("robot: iiwa\n")
    (tmp_path / "file").write_text("")
    half = tmp_path / "half" / "episode_0000"
    half.mkdir(parents=True)
    whole = next((SAMPLE / "episode_0000").glob("*.mcap")).read_bytes()
    # broken off so early that no throw is in it; one that breaks off later is read up to there
    (half / "episode_0000.mcap").write_bytes(whole[:2000])
    return {p.name: p for p in tmp_path.iterdir()}


MISTAKES = [
    (["learn", "{tmp}/nowhere", "--out", "{tmp}/run"], "nowhere: no such folder"),
    (["learn", "{tmp}/empty", "--out", "{tmp}/run"], "empty: holds no rosbag2 recording"),
    (["learn", "{tmp}/half", "--out", "{tmp}/run"], "truncated or damaged"),
    (["learn", "{sample}", "--out", "{tmp}/run", "--world", "{tmp}/iiwa.yaml"], "not lbr_iiwa_joint_1"),
    (["learn", "{sample}", "--out", "{tmp}/run", "--world", "{tmp}/world.yaml"], "did you mean 'gravity'?"),
    (["learn", "{sample}", "--out", "{tmp}/run", "--algo", "arl"], "did you mean 'airl'?"),
    (["learn", "{sample}", "--out", "{tmp}/run", "--set", "airl.batchs=3"], "did you mean 'airl.batch'?"),
    (["learn", "{sample}", "--out", "{tmp}/run", "--config", "{tmp}/none.yaml"], "none.yaml: no such file"),
    (["learn", "{sample}", "--out", "{tmp}/empty", "--resume"], "empty: holds no run.yaml"),
    (["demos", "{tmp}/nowhere"], "nowhere: no such folder"),
    (["demos", "{sample}", "--world", "mars"], "unknown world 'mars'"),
    (["record", "--out", "{tmp}/new", "--operator", "human"], "standard input: is no terminal"),
    (["record", "--out", "{tmp}/new", "--world", "mars"], "unknown world 'mars'"),
    (["record", "--out", "{tmp}/file/below", "--episodes", "1"], "cannot be made"),
    (["demo", "--out", "{tmp}/half"], "is not a demo's folder"),
    (["demo", "--out", "{tmp}/new", "--algo", "arl"], "did you mean 'airl'?"),
    (["demo", "--out", "{tmp}/new", "--set", "airrl.batch=3"], "did you mean 'airl'?"),
    (["evaluate", "{tmp}/nowhere"], "nowhere: no such run directory"),
    (["evaluate", "{tmp}/empty"], "holds no policy.yaml"),
    (["evaluate", "{tmp}/empty", "--json", "{tmp}/none/x.json"], "there is no folder"),
    (["transfer", "{tmp}/nowhere", "--world", "weak_wrist", "--out", "{tmp}/run"], "nowhere"),
    (["compare", "{tmp}/nowhere", "--out", "{tmp}/new"], "nowhere: no such folder"),
    (["compare", "--out", "{tmp}/new", "--algos", "airl,arl"], "did you mean 'airl'?"),
    (["compare", "--out", "{tmp}/new", "--set", "airl.batchs=3"], "did you mean 'airl.batch'?"),
    (["compare", "--out", "{tmp}/new", "--transfer-worlds", "mars"], "unknown world 'mars'"),
    (["compare", "--out", "{tmp}/new", "--operators", "drunk"], "unknown operator 'drunk'"),
    (["compare", "{sample}", "--out", "{tmp}/new", "--demos", "1,9"], "9 are not there: the bags hold 3"),
    (["compare", "{sample}", "--out", "{tmp}/file"], "is a file"),
    (["compare", "--out", "{tmp}/file/below", "--operators", "clean"], "cannot be written"),
    (["reward", "{tmp}/nowhere"], "nowhere"),
    (["reward", "{tmp}/empty", "--json", "{tmp}/none/x.json"], "there is no folder"),
    (["report", "{tmp}/nowhere"], "nowhere"),
]


@pytest.mark.parametrize(("arguments", "complaint"), MISTAKES, ids=lambda x: x if isinstance(x, str) else "")
def test_a_mistake_is_one_line_exit_2_and_nothing_is_left_behind(capsys, tmp_path, arguments, complaint):
    before = damaged(tmp_path)
    code, _, err = run(capsys, *(a.format(tmp=tmp_path, sample=SAMPLE) for a in arguments))
    assert err.count("\n") == 1 and err.startswith(f"irl-ros {arguments[0]}: "), err
    assert complaint in err and "Traceback" not in err
    assert code == 2
    assert {p.name for p in tmp_path.iterdir()} == set(before)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dmeo"],
        ["learn"],
        ["learn", "x"],
        ["record"],
        ["demo", "--seed", "-1"],
        ["demo", "--episodes", "0"],
        ["compare", "--out", "x", "--demos", "3,0"],
        ["compare", "--out", "x", "--algos", "airl,,bc"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(capsys, arguments):
    code, _, err = run(capsys, *arguments)
    assert code == 2 and err.count("\n") == 1 and "--help" in err


def test_demos_prints_a_table_or_json(capsys):
    code, out, _ = run(capsys, "demos", SAMPLE)
    assert code == 0 and "67% within 10 cm" in out
    code, out, _ = run(capsys, "demos", SAMPLE, "--json")
    assert code == 0 and json.loads(out)["episodes"] == 3


def test_a_failure_of_ours_is_one_line_and_exit_1(capsys, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk\nis full")

    monkeypatch.setattr("irl_ros.demos.audit.demos_report", broken)
    code, _, err = run(capsys, "demos", SAMPLE)
    assert code == 1 and err.count("\n") == 1 and "the disk is full" in err


@pytest.mark.parametrize(
    ("work", "arguments", "says"),
    [
        ("irl_ros.irl.learn.learn", ["learn", "x", "--out", "y"], "learn: stopped; --resume goes on"),
        (
            "irl_ros.irl.transfer.transfer",
            ["transfer", "x", "--out", "y"],
            "transfer: stopped; --resume goes on",
        ),
        (
            "irl_ros.evaluation.compare.compare",
            ["compare", "--out", "y"],
            "stopped; the same command goes on",
        ),
        ("irl_ros.evaluation.evaluate.evaluate", ["evaluate", "x"], "evaluate: stopped"),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_ctrl_c_says_what_goes_on_with_it(capsys, monkeypatch, work, arguments, says):
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(work, stopped)
    code, _, err = run(capsys, *arguments)
    assert code == 130 and err.endswith(f"{says}\n")


def test_stopping_a_recording_keeps_whole_episodes_and_leaves_no_process(tmp_path):
    out, environment = tmp_path / "demos", {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "irl_ros", "record", "--out", str(out), "--episodes", "500"]
    recording = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "episode   1/500" in recording.stdout.readline()
    recording.send_signal(signal.SIGINT)
    rest, err = recording.communicate(timeout=60)
    assert recording.returncode == 130 and err.strip() == "irl-ros record: stopped"
    kept = len(list(out.glob("episode_*/metadata.yaml")))
    assert kept >= 1 and f"{kept} of 500 episodes are in {out}" in rest
    assert {p.name for p in out.iterdir()} == {f"episode_{k:04d}" for k in range(kept)}
    assert not processes_that_mention(str(out))


def processes_that_mention(text: str) -> list[str]:
    """Command lines (with their parameter files) of running processes in which `text` occurs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().decode().split("\0")
            files = [Path(a).read_text() for a in arguments if a.endswith(".yaml") and Path(a).is_file()]
        except OSError:
            continue
        if any(text in x for x in (*arguments, *files)) and "irl_ros" in " ".join(arguments):
            found.append(" ".join(arguments))
    return found


def test_the_demo_runs_the_whole_loop_and_tells_what_came_of_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("irl_ros.nodes.demo._EVALUATION_THROWS", 20)
    options = ("--episodes", 3, "--throws", 2, "--seed", 1, "--algo", "bc", "--set", "bc.steps=200")
    code, out, err = run(capsys, "demo", "--out", tmp_path / "demo", *options)
    assert code == 0, err
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["demos"] == {
        "episodes": 3,
        "hit_10cm": pytest.approx(2 / 3),
        "hit_5cm": pytest.approx(1 / 3),
    }
    assert set(summary["learn"]) == {"algo", "wall_s", "env_steps", "device"}
    assert set(summary["deploy"]) == {"throws", "hit_10cm", "latency_ms_p50", "latency_ms_p99"}
    assert summary["deploy"]["throws"] == 2 and summary["policy"]["throws"] == 20
    assert (tmp_path / "demo" / "report.html").stat().st_size > 1000
    assert "operator, as recorded" in out and "learned policy" in out
    code, _, err = run(capsys, "demo", "--out", tmp_path / "demo", *options)
    assert code == 2 and "holds a finished demo" in err
    (tmp_path / "demo" / "summary.json").unlink()
    code, _, err = run(capsys, "demo", "--out", tmp_path / "demo", "--seed", 2)
    assert code == 2 and "was begun with seed 1, not 2" in err
