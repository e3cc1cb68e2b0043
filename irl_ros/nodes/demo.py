"""The verb `irl-ros demo`: the whole loop over ROS topics, from a person's throws to better ones."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from irl_ros.demos.audit import describe
from irl_ros.errors import InputError, unknown_name
from irl_ros.evaluation.evaluate import evaluate
from irl_ros.evaluation.report import write_report
from irl_ros.irl.learn import ALGORITHMS, LearnSettings
from irl_ros.irl.run_directory import RunDirectory, choose_device
from irl_ros.irl.trainer import clock
from irl_ros.msg import LearnerStatus
from irl_ros.nodes import interface as names
from irl_ros.nodes.deployment import deploy
from irl_ros.nodes.recording import check_folder, record_episodes, recorded
from irl_ros.nodes.session import Session
from irl_ros.settings import build, load_yaml, override
from irl_ros.sim import load_world

_LEARN_LIMIT = 4 * 3600.0  # s; a demo is minutes, but --set may ask for more
_EVALUATION_THROWS = 1000


@dataclass(frozen=True)
class DemoSettings:
    """What a demo was begun with; going on with it takes the same."""

    seed: int
    world: str
    episodes: int
    throws: int
    algo: str
    overrides: tuple[str, ...] = ()


def demo(
    out: Path, seed: int, world: str, episodes: int, throws: int, algo: str, overrides: Sequence[str]
) -> int:
    """Record, learn, deploy, evaluate.

    `out` gets demos/, learned/, deployed/, summary.json and report.html. Stopped, the same call goes on
    where it was.

    Raises:
        InputError: something given is wrong, or `out` holds something else.
        RuntimeError: a node failed.
    """
    settings = DemoSettings(seed, world, episodes, throws, algo, tuple(overrides))
    _check(settings)
    _begin_or_go_on(out, settings)
    started = time.monotonic()
    with Session("irl_ros_demo", out / "log") as session:
        _record(session, out / "demos", settings)
        learned = _learn(session, out, settings)
        deployed = _deploy(session, out, settings)
    _heading(4, f"the clone of the operator and the policy throw {_EVALUATION_THROWS} times more in PyBullet")
    facts = describe(out / "demos", load_world(world))
    run = out / "learned"
    policy = evaluate(run, world=world, throws=_EVALUATION_THROWS)
    clone = policy if algo == "bc" else evaluate(run / "bc", world=world, throws=_EVALUATION_THROWS)
    summary = {
        "demos": {key: facts[key] for key in ("episodes", "hit_10cm", "hit_5cm")},
        "bc": clone,
        "policy": policy,
        "learn": learned,
        "deploy": deployed,
        "wall_s": round(time.monotonic() - started, 1),
    }
    report = write_report(run, out / "report.html", summary, out / "deployed")
    # last: where this file is, a demo is complete
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(_table(summary))
    print(f"\nreport: {report}\nsummary: {out / 'summary.json'}")
    return 0


def _check(settings: DemoSettings) -> None:
    """Faults that a node would find minutes later are found here."""
    load_world(settings.world)
    if settings.algo not in ALGORITHMS:
        raise InputError("--algo", *unknown_name("algorithm", settings.algo, ALGORITHMS))
    build(LearnSettings, override({}, list(settings.overrides)), "--set")


def _begin_or_go_on(out: Path, settings: DemoSettings) -> None:
    kept = out / "demo.yaml"
    if (out / "summary.json").exists():
        raise InputError(out, "holds a finished demo", "give another --out, or remove it")
    if kept.is_file():
        before = build(DemoSettings, load_yaml(kept), kept)
        for key, value in asdict(settings).items():
            if (begun := getattr(before, key)) != value:
                problem = f"holds a demo that was begun with {key} {begun!r}, not {value!r}"
                raise InputError(out, problem, "give the same, or another --out")
        print(f"going on with the demo in {out}")
        return
    if out.is_dir() and any(out.iterdir()):
        raise InputError(out, "exists and is not a demo's folder", "give another --out")
    check_folder(out)
    kept.write_text(
        yaml.safe_dump({**asdict(settings), "overrides": list(settings.overrides)}, sort_keys=False)
    )


def _record(session: Session, out: Path, s: DemoSettings) -> None:
    _heading(1, f"a synthetic operator throws {s.episodes} times; arm, recorder and operator are ROS 2 nodes")
    before = recorded(out)
    if before < s.episodes:
        record_episodes(session, out, s.episodes - before, s.world, s.seed, skip=before)


def _learn(session: Session, out: Path, s: DemoSettings) -> dict[str, Any]:
    _heading(2, f"{s.algo} learns a reward and a policy from {out / 'demos'}")
    run = RunDirectory(out / "learned")
    started, fresh = time.monotonic(), not run.path.exists()
    if not run.finished:
        _LearningLine(session)
        parameters = {
            "paths": [str(out / "demos")],
            "out": str(run.path),
            "algo": s.algo,
            "world": s.world,
            "seed": s.seed,
            "resume": True,
            "begin": True,
            "exit_when_done": True,
        }
        if s.overrides:
            parameters["overrides"] = list(s.overrides)
        learner = session.start("learner", simulated_time=False, **parameters)
        session.finish(learner, _LEARN_LIMIT)
        session.stop(learner)
    last = _last_metrics(run)
    wall = time.monotonic() - started if fresh else last.get("wall_s")
    return {
        "algo": s.algo,
        "wall_s": None if wall is None else round(wall, 1),
        "env_steps": last.get("env_steps", 0),
        "device": str(choose_device(run.description()["device"])),
    }


class _LearningLine:
    """How learning goes, from irl/learner, every few seconds."""

    every = 10.0

    def __init__(self, session: Session) -> None:
        self._next, self._state = 0.0, ""
        session.node.create_subscription(LearnerStatus, names.LEARNER, self._on_status, names.LATCHED)

    def _on_status(self, status: LearnerStatus) -> None:
        now = time.monotonic()
        if now < self._next and status.state == self._state:
            return
        self._next, self._state = now + self.every, status.state
        line = f"{status.state:<10}"
        if status.iterations:
            line += f" round {status.iteration:>3}/{status.iterations}  hits {status.hit_rate:6.1%} @10 cm"
            line += f"  {status.rate / 1e3:6.1f}k steps/s  about {clock(status.remaining_s)} left"
        print(line + (f"  {status.message}" if status.message else ""), flush=True)


def _deploy(session: Session, out: Path, s: DemoSettings) -> dict[str, Any]:
    _heading(
        3, f"the learned policy throws {s.throws} times at targets it has not seen; arm and policy are nodes"
    )
    shutil.rmtree(out / "deployed", ignore_errors=True)  # an earlier, unfinished attempt of ours
    return deploy(session, out / "learned", out / "deployed", s.throws, s.world, s.seed)


def _last_metrics(run: RunDirectory) -> dict[str, Any]:
    lines = run.metrics.read_text().splitlines() if run.metrics.is_file() else []
    return json.loads(lines[-1]) if lines else {}


def _table(summary: dict[str, Any]) -> str:
    demos, deployed = summary["demos"], summary["deploy"]
    rows = [
        ("operator, as recorded", demos["hit_10cm"], demos["hit_5cm"], demos["episodes"]),
        ("its clone (bc)", summary["bc"]["hit_10cm"], summary["bc"]["hit_5cm"], summary["bc"]["throws"]),
        (
            "learned policy",
            summary["policy"]["hit_10cm"],
            summary["policy"]["hit_5cm"],
            summary["policy"]["throws"],
        ),
        ("  the same over ROS 2", deployed["hit_10cm"], None, deployed["throws"]),
    ]
    lines = [f"\n{'':<22}  within 10 cm  within 5 cm  throws"]
    lines += [f"{n:<22}  {a:>12.1%}  {'' if b is None else f'{b:.1%}':>11}  {c:>6}" for n, a, b, c in rows]
    latency = f"{deployed['latency_ms_p50']:.1f} ms median, {deployed['latency_ms_p99']:.1f} ms p99"
    lines.append(f"\njoint_states to command: {latency}; all in {summary['wall_s'] / 60:.1f} minutes")
    return "\n".join(lines)


def _heading(number: int, text: str) -> None:
    print(f"\n{number}/4  {text}", flush=True)
