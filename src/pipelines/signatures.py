"""Refuses a function or class that cannot be called as the framework will call it, when its module is loaded.

Found at its first call instead, the same mistake would cost a run, and show as a TypeError inside the framework.
"""

from __future__ import annotations

import dataclasses
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.errors import SettingsError


def require_call(function: object, arguments: str, what: str) -> None:
    """Raise SettingsError, with file and line, unless `function` can be called with `arguments`, names such as "ctx,
    settings" for as many values by position, and then has done its work: no coroutine, no generator."""
    name = getattr(function, "__name__", "function")
    fix = f"write it as `def {name}({arguments})`"
    if not callable(function):
        raise SettingsError(
            f"{what} is {type(function).__name__} {function!r:.60}, not a function", where=place_of(function), fix=fix
        )
    kinds = {
        "a coroutine function": inspect.iscoroutinefunction,
        "a generator function": inspect.isgeneratorfunction,
        "an async generator function": inspect.isasyncgenfunction,
    }
    for kind, is_kind in kinds.items():
        if is_kind(function):
            raise SettingsError(
                f"{what} is {kind}, so that calling it would compute nothing", where=place_of(function), fix=fix
            )
    reason = _misfit(function, arguments)
    if reason:
        raise SettingsError(
            f"{what} cannot be called as {name}({arguments}): {reason}", where=place_of(function), fix=fix
        )


def require_settings(cls: object, what: str) -> None:
    """Raise SettingsError unless `cls` is a frozen dataclass: settings are shared, compared and hashed."""
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise SettingsError(
            f"the settings of {what} are no frozen dataclass: {getattr(cls, '__name__', repr(cls))}",
            where=place_of(cls),
            fix="write `@dataclass(frozen=True)` above `class Settings`",
        )


def require_source(cls: object, what: str) -> None:
    """Raise SettingsError unless `cls` has what a Source has: name, historical, probe(), markets(), fetch(part), and
    can be made from (settings, base)."""
    if not isinstance(cls, type):
        raise SettingsError(
            f"{what} is no class but {cls!r:.60}",
            where=place_of(cls),
            fix="name a class with probe(), markets() and fetch(part): pipelines.source says what they do",
        )
    lacking = [name for name in ("name", "historical", "probe", "markets", "fetch") if not hasattr(cls, name)]
    if lacking:
        raise SettingsError(
            f"{what} lacks {', '.join(lacking)}: class {cls.__name__} is no Source",
            where=place_of(cls),
            fix="add it to the class; pipelines.source says what it does",
        )
    reason = _misfit(cls, "settings, base")
    if reason:
        raise SettingsError(
            f"{what} cannot be made as {cls.__name__}(settings, base): {reason}",
            where=place_of(cls),
            fix="write its constructor as `def __init__(self, settings, base)`",
        )
    for method, arguments in (("probe", "self"), ("markets", "self"), ("fetch", "self, part")):
        if isinstance(inspect.getattr_static(cls, method), (staticmethod, classmethod)):
            arguments = arguments.removeprefix("self").removeprefix(", ")
        require_call(getattr(cls, method), arguments, f"{method} of {what}")


def place_of(thing: object) -> str:
    """File and line where a function or class is written; its type for anything else."""
    wrapped = inspect.unwrap(thing) if callable(thing) else thing
    code = getattr(wrapped, "__code__", None)
    if code is not None:
        return f"{code.co_filename}, line {code.co_firstlineno}"
    try:
        _, line = inspect.getsourcelines(wrapped)  # type: ignore[arg-type]
        return f"{inspect.getsourcefile(wrapped)}, line {line}"  # type: ignore[arg-type]
    except (TypeError, OSError):
        module = getattr(wrapped, "__module__", None)
        return f"module {module}" if module else f"a value of type {type(thing).__name__}"


def place_in(error: BaseException, file: Path) -> str:
    """The line of `file` that `error` came through last; the file alone where it did not."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}, line {error.lineno}"
    lines = [
        number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == str(file)
    ]
    return f"{file}, line {lines[-1]}" if lines else str(file)


def caller() -> str:
    """File and line of the code that called the function that calls this: where a decorator is used."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame.f_back if frame is not None else None
    return "" if frame is None else f"{frame.f_code.co_filename}, line {frame.f_lineno}"


def _misfit(function: Callable[..., Any], arguments: str) -> str:
    """Why `function` does not take as many values by position as `arguments` has names; empty where it does."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""  # built in: nothing to look at
    try:
        signature.bind(*(name for name in arguments.split(", ") if name))
    except TypeError as error:
        return str(error)
    return ""
