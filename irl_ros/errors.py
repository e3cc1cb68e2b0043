"""Errors a user can cause. The command line prints them as one line and leaves with exit code 2."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """Something the user gave is wrong.

    Args:
        where: what holds the fault: a file, a bag, a command-line argument.
        problem: what is wrong with it, naming the field and the value found.
        cure: what would be right.
    """

    def __init__(self, where: object, problem: str, cure: str = "") -> None:
        self.where, self.problem, self.cure = str(where), problem, cure
        super().__init__(f"{self.where}: {problem}" + (f"; {cure}" if cure else ""))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Pickled by what it was made of, so that it passes from one process to another."""
        return type(self), (self.where, self.problem, self.cure)


class InputWarning(UserWarning):
    """Something the user gave is doubtful, and what was made of it. Arguments as of InputError."""

    def __init__(self, where: object, problem: str, cure: str = "") -> None:
        super().__init__(str(InputError(where, problem, cure)))


def warn_in_one_line() -> None:
    """From here on, an InputWarning is printed as a line of its own: for programs with a user in front."""
    whole = warnings.formatwarning

    def short(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> str:
        if issubclass(category, InputWarning):
            return f"{message}\n"
        return whole(message, category, *rest, **more)

    warnings.formatwarning = short


def unknown_name(kind: str, name: object, known: Iterable[str]) -> tuple[str, str]:
    """Problem and cure texts for a name that is not one of `known`, with the nearest right one."""
    choices = sorted(known)
    near = difflib.get_close_matches(str(name), choices, n=1)
    cure = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(choices)}"
    return f"unknown {kind} '{name}'", cure
