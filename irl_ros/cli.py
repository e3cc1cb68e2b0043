"""The command line: `irl-ros VERB`. Reads arguments and hands over to the room that does the work.

Exit codes: 0 done, 1 failed, 2 bad input (one line on stderr), 130 stopped by Ctrl-C.
Nothing heavy is imported before a verb runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from irl_ros.errors import InputError, warn_in_one_line
from irl_ros.nodes.lifeline import follow_parent

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    # a polite kill ends like Ctrl-C: children are taken down, what is resumable stays so
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    follow_parent()
    warn_in_one_line()
    options = parser().parse_args(arguments)
    name = f"irl-ros {options.verb}"
    try:
        return options.run(options) or DONE
    except InputError as error:
        return _complain(f"{name}: {error}", BAD_INPUT)
    except KeyboardInterrupt:
        cures = {
            "demo": "; the same command goes on",
            "learn": "; --resume goes on",
            "transfer": "; --resume goes on",
            "compare": "; the same command goes on",
            "bench": "; the same command goes on",
        }
        return _complain(f"\n{name}: stopped{cures.get(options.verb, '')}", STOPPED)
    except BrokenPipeError:
        # the reader of our output (head, less) has left; Python would complain once more while flushing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if os.environ.get("IRL_ROS_TRACEBACK"):
            traceback.print_exc()
        text = " ".join(str(error).split()) or type(error).__name__
        return _complain(f"{name}: failed: {text} (IRL_ROS_TRACEBACK=1 shows where)", FAILED)


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs; each sets `run`, which takes the parsed options."""
    top = _Parser(
        prog="irl-ros",
        description="Learn why from demonstrations of a throw: record, learn a reward and a policy, deploy.",
        epilog="example:  irl-ros demo --out runs/demo --seed 0",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    from irl_ros import __version__

    top.add_argument("--version", action="version", version=f"irl_ros {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for add in (
        _add_demo,
        _add_record,
        _add_demos,
        _add_learn,
        _add_evaluate,
        _add_transfer,
        _add_reward,
        _add_compare,
        _add_bench,
        _add_report,
    ):
        add(verbs)
    return top


# --- verbs, in the order of use ---


def _add_demo(verbs: Any) -> None:
    p = _verb(
        verbs,
        "demo",
        _demo,
        "the whole loop over ROS 2 topics, with a simulated arm",
        "--out runs/demo --seed 3",
    )
    p.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for the results (%(default)s)")
    p.add_argument("--episodes", type=_count, default=24, help="throws the operator records (%(default)s)")
    p.add_argument("--throws", type=_count, default=30, help="throws of the deployed policy (%(default)s)")
    p.add_argument("--algo", default="airl", help="learning algorithm (%(default)s)")
    _add_world(p, "default")
    _add_seed(p)
    _add_set(p)


def _demo(o: argparse.Namespace) -> int:
    from irl_ros.nodes.demo import demo

    return demo(o.out, o.seed, o.world, o.episodes, o.throws, o.algo, o.overrides)


def _add_record(verbs: Any) -> None:
    p = _verb(
        verbs,
        "record",
        _record,
        "record episodes into rosbag2 folders",
        "--out demos --episodes 20 --operator synthetic",
    )
    p.add_argument("--out", type=Path, required=True, help="folder that gets one bag for each episode")
    p.add_argument("--episodes", type=_count, default=20, help="how many (%(default)s)")
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
    p.add_argument("--name", default="", help="who the human is; noted in every episode")
    p.add_argument("--countdown", type=float, default=3.0, metavar="S", help="before a human's episode")
    _add_world(p, "default")
    _add_seed(p)


def _record(o: argparse.Namespace) -> int:
    if o.operator == "human":
        from irl_ros.nodes.human_recording import Recording, record_by_hand

        moves = "joystick" if o.input == "joy" else o.input
        asked = Recording(o.out, o.episodes, o.world, moves, o.mapping, o.arm, o.name, o.countdown, o.seed)
        return record_by_hand(asked)
    from irl_ros.nodes.recording import record

    return record(o.out, o.episodes, o.world, o.seed)


def _add_demos(verbs: Any) -> None:
    p = _verb(
        verbs,
        "demos",
        _demos,
        "what is in these bags: episodes, outcomes, rates, gaps, joints",
        "runs/demo/demos",
    )
    _add_paths(p)
    _add_world(p, "default")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _demos(o: argparse.Namespace) -> int:
    from irl_ros.demos.audit import demos_report
    from irl_ros.sim.world import load_world

    print(demos_report(o.paths, load_world(o.world), as_json=o.json))
    return DONE


def _add_learn(verbs: Any) -> None:
    example = "runs/demo/demos --out runs/mine --seed 1"
    p = _verb(verbs, "learn", _learn, "learn a reward and a policy from bags", example)
    _add_paths(p)
    p.add_argument("--out", type=Path, required=True, help="the RUN folder to write")
    p.add_argument("--algo", default="airl", help="algorithm (%(default)s)")
    _add_world(p, "default")
    _add_learning(p)


def _learn(o: argparse.Namespace) -> None:
    from irl_ros.irl.learn import learn

    _finish(learn(o.paths, o.out, algo=o.algo, world=o.world, **_learning(o)))


def _add_evaluate(verbs: Any) -> None:
    p = _verb(
        verbs,
        "evaluate",
        _evaluate,
        "throw at unseen targets",
        "runs/demo/learned --throws 1000 --json result.json",
    )
    _add_run(p)
    _add_world(p, None)
    p.add_argument("--throws", type=_count, default=1000, help="how many (%(default)s)")
    p.add_argument("--seed", type=_natural, default=1_000_000, help="draws the targets (%(default)s)")
    p.add_argument(
        "--sim", choices=("pybullet", "batch"), default="pybullet", help="world to throw in (%(default)s)"
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")


def _evaluate(o: argparse.Namespace) -> None:
    _check_folder("--json", o.json)
    from irl_ros.evaluation.evaluate import evaluate, table

    result = evaluate(o.run_dir, world=o.world, throws=o.throws, seed=o.seed, sim=o.sim)
    print(table(result))
    if o.json:
        o.json.write_text(json.dumps(result, indent=2) + "\n")


def _add_transfer(verbs: Any) -> None:
    example = "runs/demo/learned --world weak_wrist --out runs/weak"
    p = _verb(
        verbs, "transfer", _transfer, "a fresh policy in another world, from the frozen reward", example
    )
    _add_run(p)
    _add_world(p, None)
    p.add_argument("--out", type=Path, required=True, help="the RUN folder to write")
    p.add_argument(
        "--reward", choices=("learned", "true"), default="learned", help="to optimise (%(default)s)"
    )
    p.add_argument(
        "--start",
        choices=("fresh", "warm"),
        default="fresh",
        help="untrained, or the old policy (%(default)s)",
    )
    _add_learning(p)


def _transfer(o: argparse.Namespace) -> None:
    from irl_ros.irl.transfer import transfer

    _finish(transfer(o.run_dir, o.world, o.out, reward=o.reward, start=o.start, **_learning(o)))


def _finish(run: Path) -> None:
    """Leave the report in a run that learn or transfer has ended, and say what may come next."""
    from irl_ros.evaluation.report import write_report

    report = write_report(run, sim="batch")
    print(f"{report} shows what was learned; next: irl-ros evaluate {run}")


def _add_compare(verbs: Any) -> None:
    example = "runs/demo/demos --algos airl,bc --seeds 3 --demos 3,10 --out runs/compare"
    p = _verb(
        verbs,
        "compare",
        _compare,
        "algorithms side by side, over seeds and numbers of demonstrations",
        example,
    )
    p.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="bags; without them synthetic operators demonstrate",
    )
    p.add_argument("--out", type=Path, required=True, help="folder that keeps every cell, and the tables")
    p.add_argument(
        "--algos",
        type=_list,
        default=(),
        metavar="A,B,…",
        help="algorithms, all by default; airl:3 takes 3 seeds",
    )
    p.add_argument(
        "--variant",
        dest="variants",
        action="append",
        default=[],
        metavar="NAME=ALGO KEY=VALUE …",
        help="a further row: an algorithm with other settings; may be repeated",
    )
    p.add_argument("--seeds", type=_count, default=5, help="how many, from 0 on (%(default)s)")
    p.add_argument(
        "--demos", type=_counts, default=(), metavar="K,…", help="numbers of demonstrations (all, or 20)"
    )
    p.add_argument(
        "--operators", type=_list, default=(), metavar="O,…", help="synthetic ones: clean, default, tired"
    )
    _add_world(p, "default")
    p.add_argument(
        "--transfer-worlds",
        type=_list,
        default=(),
        metavar="W,…",
        help="where rewards are optimised again, beside --world; none: nowhere",
    )
    p.add_argument(
        "--starts",
        type=_list,
        default=("fresh", "warm"),
        metavar="S,…",
        help="of that: fresh,warm by default",
    )
    p.add_argument(
        "--transfer-demos", type=_counts, default=(), metavar="K,…", help="of these --demos (the most)"
    )
    p.add_argument("--throws", type=_count, default=1000, help="of an evaluation (%(default)s)")
    p.add_argument(
        "--sim", choices=("pybullet", "batch"), default="pybullet", help="of final policies (%(default)s)"
    )
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")
    _add_jobs(p)
    _add_set(p)
    p.add_argument(
        "--transfer-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting of transfers",
    )


def _compare(o: argparse.Namespace) -> None:
    from irl_ros.evaluation.compare import compare
    from irl_ros.evaluation.comparison_text import markdown
    from irl_ros.evaluation.grid import Grid

    names = ("paths", "seeds", "demos", "operators", "world", "transfer_worlds", "starts", "transfer_demos")
    asked = {k: getattr(o, k) for k in (*names, "variants", "throws", "sim", "device", "overrides")}
    asked |= {"algos": o.algos} if o.algos else {}
    grid = Grid(**asked, transfer_overrides=o.transfer_set)
    found = compare(grid, o.out, o.jobs, o.retry, command=shlex.join(["irl-ros", *sys.argv[1:]]))
    print(f"\n{markdown(found)}")
    if failed := found.failures():
        print(f"{len(failed)} cells failed: compare.md says why; --retry makes them again")
    print(f"{o.out / 'compare.html'} shows what was found")


def _add_bench(verbs: Any) -> None:
    example = "--env Pendulum-v1 --algo bc,airl --seeds 3 --out runs/bench"
    p = _verb(
        verbs, "bench", _bench, "the algorithms on a Gymnasium environment, beside published figures", example
    )
    p.add_argument("--env", required=True, help="id of an environment with vectors as observations")
    p.add_argument("--algo", type=_list, default=["bc", "airl"], metavar="A,B,…", help="algorithms (bc,airl)")
    p.add_argument("--seeds", type=_count, default=3, help="how many, from 0 on (%(default)s)")
    p.add_argument("--demos", type=_count, default=50, help="episodes the expert shows (%(default)s)")
    p.add_argument("--horizon", type=_count, help="steps of every episode (the environment's own limit)")
    p.add_argument(
        "--expert", type=Path, metavar="DIR", help="an expert-… folder of an earlier bench (one is made)"
    )
    p.add_argument(
        "--expert-return",
        type=float,
        metavar="R",
        help="what the expert has to earn (what is known to be good)",
    )
    p.add_argument("--out", type=Path, default=Path("runs/bench"), help="keeps what was made (%(default)s)")
    p.add_argument("--seed", type=_natural, default=0, help="of the expert and what it shows (%(default)s)")
    _add_jobs(p)
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    p.add_argument("--config", type=Path, help="YAML of settings, in place of those of config/bench.yaml")
    _add_set(p)


def _bench(o: argparse.Namespace) -> None:
    _check_folder("--json", o.json)
    from irl_ros.evaluation.bench import bench
    from irl_ros.evaluation.bench_table import bench_rows, bench_table

    names = ["env", "out", "seeds", "demos", "horizon", "expert", "expert_return", "seed"]
    asked = {key: getattr(o, key) for key in [*names, "jobs", "retry", "config", "overrides"]}
    figures = bench(algos=o.algo, **asked)
    print(f"\n{bench_table(figures)}")
    if o.json:
        o.json.write_text(json.dumps({**figures, "rows": bench_rows(figures)}, indent=2) + "\n")


def _add_reward(verbs: Any) -> None:
    purpose = "how near the learned reward is to the true one, and a picture of it"
    p = _verb(verbs, "reward", _reward, purpose, "runs/demo/learned --json reward.json")
    _add_run(p)
    _add_world(p, None)
    p.add_argument("--throws", type=_count, default=600, help="good and bad, to compare over (%(default)s)")
    p.add_argument("--seed", type=_natural, default=1_000_000, help="draws the throws (%(default)s)")
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    p.add_argument("--out", type=Path, metavar="PNG", help="the picture (RUN/reward.png)")


def _reward(o: argparse.Namespace) -> None:
    _check_folder("--json", o.json)
    _check_folder("--out", o.out)
    from irl_ros.evaluation.reward_figure import write_reward_figure
    from irl_ros.evaluation.reward_recovery import recover, table

    recovery = recover(o.run_dir, world=o.world, throws=o.throws, seed=o.seed)
    picture = o.out or o.run_dir / "reward.png"
    write_reward_figure(recovery, picture)
    print(f"{table(recovery.figures)}\n\n{picture} shows it")
    if o.json:
        o.json.write_text(json.dumps(recovery.figures, indent=2) + "\n")


def _add_report(verbs: Any) -> None:
    p = _verb(verbs, "report", _report, "write the HTML report of a RUN again", "runs/demo/learned")
    _add_run(p)


def _report(o: argparse.Namespace) -> None:
    from irl_ros.evaluation.report import write_report

    print(write_report(o.run_dir))


# --- pieces verbs share ---


class _Parser(argparse.ArgumentParser):
    """argparse, but a fault is one line."""

    def error(self, message: str) -> NoReturn:
        sys.exit(_complain(f"{self.prog}: {message}; see {self.prog} --help", BAD_INPUT))


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int | None], purpose: str, example: str
) -> argparse.ArgumentParser:
    p = verbs.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"example:  irl-ros {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    return p


def _add_paths(p: argparse.ArgumentParser) -> None:
    p.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="bag folders, or folders of them")


def _add_run(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_dir", type=Path, metavar="RUN", help="folder that learn or transfer wrote")


def _add_world(p: argparse.ArgumentParser, default: str | None) -> None:
    p.add_argument(
        "--world", default=default, help=f"name or YAML of the world ({default or 'that of the RUN'})"
    )


def _add_seed(p: argparse.ArgumentParser) -> None:
    p.add_argument("--seed", type=_natural, default=0, help="same seed, same result (%(default)s)")


def _add_learning(p: argparse.ArgumentParser) -> None:
    """What learn and transfer have in common."""
    p.add_argument("--sim", choices=("batch", "pybullet"), default="batch", help="simulator (%(default)s)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")
    _add_seed(p)
    p.add_argument("--config", type=Path, help="YAML of settings")
    _add_set(p)
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")


def _learning(o: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(o, key) for key in ("sim", "device", "seed", "config", "overrides", "resume")}


def _add_jobs(p: argparse.ArgumentParser) -> None:
    """What verbs that make many cells have in common."""
    p.add_argument("--jobs", type=_count, default=1, help="cells at a time, one thread each (%(default)s)")
    p.add_argument("--retry", action="store_true", help="make failed cells again")


def _add_set(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one learning setting; may be repeated",
    )


def _check_folder(option: str, file: Path | None) -> None:
    """Say before the work is done that a file has no folder to be written in."""
    if file and not file.parent.is_dir():
        raise InputError(f"{option} {file}", f"there is no folder {file.parent}")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found '{text}'")
    return int(text)


def _list(text: str) -> list[str]:
    names = [t.strip() for t in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between them, found '{text}'")
    return names


def _counts(text: str) -> list[int]:
    return [_count(t.strip()) for t in text.split(",")]


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found '{text}'")
    return int(text)


def _complain(line: str, code: int) -> int:
    print(line, file=sys.stderr, flush=True)
    return code
