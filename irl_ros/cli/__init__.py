"""The command line: `irl-ros VERB`. Reads arguments and hands over to the room that does the work.

Exit codes: 0 done, 1 failed, 2 bad input (one line on stderr), 130 stopped by Ctrl-C.
Nothing heavy is imported before a verb runs, so that `--help` answers at once. Verbs are grouped by what they
are for, a module a group: `add_VERB` says what may be typed, `_VERB` does it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from irl_ros import __version__
from irl_ros.cli.comparing import add_bench, add_compare
from irl_ros.cli.demonstrating import add_demo, add_demos, add_record
from irl_ros.cli.judging import add_evaluate, add_report, add_reward
from irl_ros.cli.learning import add_learn, add_transfer
from irl_ros.cli.options import BAD_INPUT, DONE, FAILED, STOPPED, Parser, complain
from irl_ros.errors import InputError, warn_in_one_line
from irl_ros.nodes.lifeline import follow_parent

VERBS = (  # in the order of use
    add_demo,
    add_record,
    add_demos,
    add_learn,
    add_evaluate,
    add_transfer,
    add_reward,
    add_compare,
    add_bench,
    add_report,
)


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
        return complain(f"{name}: {error}", BAD_INPUT)
    except KeyboardInterrupt:
        cure = f"; {options.resumed_by} goes on" if options.resumed_by else ""
        return complain(f"\n{name}: stopped{cure}", STOPPED)
    except BrokenPipeError:
        # the reader of our output (head, less) has left; Python would complain once more while flushing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if os.environ.get("IRL_ROS_TRACEBACK"):
            traceback.print_exc()
        text = " ".join(str(error).split()) or type(error).__name__
        return complain(f"{name}: failed: {text} (IRL_ROS_TRACEBACK=1 shows where)", FAILED)


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs; each sets `run`, which takes the parsed options."""
    top = Parser(
        prog="irl-ros",
        description="Learn why from demonstrations of a throw: record, learn a reward and a policy, deploy.",
        epilog="example:  irl-ros demo --out runs/demo --seed 0",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"irl_ros {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for add in VERBS:
        add(verbs)
    return top
