"""What verbs share: options, what their values may be, and one line for a mistake."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from irl_ros.errors import InputError

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 130
"""Exit codes."""


class Parser(argparse.ArgumentParser):
    """argparse, but a fault is one line."""

    def error(self, message: str) -> NoReturn:
        sys.exit(complain(f"{self.prog}: {message}; see {self.prog} --help", BAD_INPUT))


def add_verb(
    verbs: Any,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    purpose: str,
    example: str,
    resumed_by: str = "",
) -> argparse.ArgumentParser:
    """Add a verb without options to the subparsers `verbs`.

    Args:
        run: does it; takes the parsed options, returns the exit code or None for DONE.
        purpose: one line, lower case, no full stop.
        example: what follows `irl-ros NAME` in its --help.
        resumed_by: what goes on with it after Ctrl-C.
    """
    p = verbs.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"example:  irl-ros {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run, resumed_by=resumed_by)
    return p


def add_paths(p: argparse.ArgumentParser) -> None:
    """PATH…: `paths`."""
    p.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="bag folders, or folders of them")


def add_run(p: argparse.ArgumentParser) -> None:
    """RUN: `run_dir`."""
    p.add_argument("run_dir", type=Path, metavar="RUN", help="folder that learn or transfer wrote")


def add_world(p: argparse.ArgumentParser, default: str | None) -> None:
    """--world; without a default, the world of the RUN."""
    p.add_argument(
        "--world", default=default, help=f"name or YAML of the world ({default or 'that of the RUN'})"
    )


def add_seed(p: argparse.ArgumentParser) -> None:
    """--seed."""
    p.add_argument("--seed", type=natural, default=0, help="same seed, same result (%(default)s)")


def add_learning(p: argparse.ArgumentParser) -> None:
    """What learn and transfer have in common; `learning_options` gives it back."""
    p.add_argument("--sim", choices=("batch", "pybullet"), default="batch", help="simulator (%(default)s)")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")
    add_seed(p)
    p.add_argument("--config", type=Path, help="YAML of settings")
    add_set(p)
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")


def learning_options(o: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `learn` and `transfer`."""
    return {key: getattr(o, key) for key in ("sim", "device", "seed", "config", "overrides", "resume")}


def add_jobs(p: argparse.ArgumentParser) -> None:
    """What verbs that make many cells have in common."""
    p.add_argument("--jobs", type=count, default=1, help="cells at a time, one thread each (%(default)s)")
    p.add_argument("--retry", action="store_true", help="make failed cells again")


def add_set(p: argparse.ArgumentParser) -> None:
    """--set: `overrides`."""
    p.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one learning setting; may be repeated",
    )


def check_folder(option: str, file: Path | None) -> None:
    """Say before the work is done that a file has no folder to be written in.

    Raises:
        InputError: it has none.
    """
    if file and not file.parent.is_dir():
        raise InputError(f"{option} {file}", f"there is no folder {file.parent}")


def count(text: str) -> int:
    """Type of an argument: a whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found '{text}'")
    return int(text)


def count_list(text: str) -> list[int]:
    """Type of an argument: counts with commas between them."""
    return [count(t.strip()) for t in text.split(",")]


def name_list(text: str) -> list[str]:
    """Type of an argument: names with commas between them."""
    names = [t.strip() for t in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between them, found '{text}'")
    return names


def natural(text: str) -> int:
    """Type of an argument: a whole number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found '{text}'")
    return int(text)


def complain(line: str, code: int) -> int:
    """Say it on stderr, give the exit code back."""
    print(line, file=sys.stderr, flush=True)
    return code
