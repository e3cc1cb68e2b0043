"""Settings are dataclasses; YAML fills them. Unknown keys are refused with the nearest right name."""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from irl_ros.errors import InputError, unknown_name

T = TypeVar("T")
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")  # YAML 1.1 takes 1e-4 for text, people do not


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: the file is missing, is not YAML, or holds something other than a mapping.
    """
    try:
        data = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(path, "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise InputError(path, f"is not valid YAML{line}", "check indentation and brackets") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(path, "does not hold `key: value` lines", "write one key a line")
    return data


def save_yaml(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, whole or not at all: a kill leaves the old file or none."""
    part = path.with_name(path.name + ".part")
    part.write_text(yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True))
    os.replace(part, path)


def at_least(settings: Any, bound: float, *names: str) -> None:
    """Refuse settings with a value below `bound`; for a `__post_init__`.

    Raises:
        ValueError: with the field's name; `build` makes an InputError of it.
    """
    for name in names:
        if not getattr(settings, name) >= bound:
            raise ValueError(f"{name}: must be at least {bound:g}, found {getattr(settings, name)}")


def build(cls: type[T], data: Mapping[str, Any], where: object, prefix: str = "", base: T | None = None) -> T:
    """An instance of the dataclass `cls` from a mapping, checking names and types on the way.

    Values are converted only where nothing is lost (int to float, list to tuple).

    Args:
        cls: which dataclass.
        data: some or all of its keys.
        where: file or argument that errors name.
        prefix: of the keys that errors name.
        base: gives what `data` leaves out; default: the defaults of `cls`. A field that is a dataclass itself
            is built on the default it has in `cls`, which need not be that of its own class.

    Raises:
        InputError: an unknown key, a value of the wrong type, or a value `cls` itself refuses.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    defaults = _defaults(cls) if base is None else {name: getattr(base, name) for name in fields}
    values = {} if base is None else dict(defaults)
    for key, value in data.items():
        if key not in fields:
            problem, cure = unknown_name("key", f"{prefix}{key}", [f"{prefix}{f}" for f in fields])
            raise InputError(where, problem, cure)
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            hint, default = typing.cast(type, hints[key]), defaults.get(key)
            values[key] = build(hint, value, where, f"{prefix}{key}.", default)
        else:
            values[key] = _convert(hints[key], value, where, f"{prefix}{key}")
    try:
        return cls(**values)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(where, f"{prefix.rstrip('.')}: {error}" if prefix else str(error)) from None


def _defaults(cls: type) -> dict[str, Any]:
    """The defaults of the fields that have one."""
    found = {}
    for f in dataclasses.fields(cls):
        if f.default is not dataclasses.MISSING:
            found[f.name] = f.default
        elif f.default_factory is not dataclasses.MISSING:
            found[f.name] = f.default_factory()
    return found


def override(data: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """A copy of `data` with `a.b=value` assignments applied (values are YAML)."""
    result = {k: dict(v) if isinstance(v, dict) else v for k, v in data.items()}
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise InputError("--set", f"'{text}' is not key=value", "for example --set iterations=50")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError("--set", f"the value of '{key}' is not valid YAML") from None
        node = result
        *parents, last = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise InputError("--set", f"'{parent}' in '{key}' holds a value, not keys")
        node[last] = parsed
    return result


def as_dict(settings: Any) -> dict[str, Any]:
    """A plain mapping of a settings dataclass, ready for yaml.safe_dump (tuples become lists)."""
    return _plain(dataclasses.asdict(settings))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _convert(hint: Any, value: Any, where: object, name: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        problems = []
        for option in (a for a in args if a is not type(None)):
            try:
                return _convert(option, value, where, name)
            except InputError as error:
                problems.append((typing.get_origin(option) is tuple, error))
        # of a number or a list, the one the user tried to write is what they want to hear about
        listed = isinstance(value, (list, tuple))
        raise next((error for is_list, error in problems if is_list == listed), problems[-1][1])
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise InputError(where, f"{name}: expected keys, found {value!r}")
        return build(typing.cast(type, hint), value, where, f"{name}.")
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(where, f"{name}: expected a list, found {value!r}")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise InputError(where, f"{name}: expected {len(args)} values, found {len(value)}")
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        return tuple(_convert(a, v, where, f"{name}[{i}]") for i, (a, v) in enumerate(zip(inner, value)))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(where, f"{name}: expected keys, found {value!r}")
        return {str(k): _convert(args[1], v, where, f"{name}.{k}") for k, v in value.items()}
    return _convert_scalar(hint, value, where, name)


def _convert_scalar(hint: Any, value: Any, where: object, name: str) -> Any:
    if hint in (float, int) and isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is Any or (hint is float and is_number):
        return float(value) if hint is float else value
    if hint is int and is_number and float(value).is_integer():
        return int(value)
    if hint in (bool, str) and isinstance(value, hint):
        return value
    if isinstance(hint, type) and hint not in (float, int, bool, str) and isinstance(value, hint):
        return value
    expected = getattr(hint, "__name__", str(hint))
    names = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text"}
    raise InputError(where, f"{name}: expected {names.get(expected, expected)}, found {value!r}")
