"""What people type after a command: a parser whose errors say what, where and the fix, and the kinds of values."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import NoReturn, TypeVar

_Number = TypeVar("_Number", int, float)
MOST_ROWS = 100_000
_OF_ARGUMENT = re.compile(r"argument (?P<name>[^:]+): (?P<what>.*)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Refuses with exit code 2 and the three lines of every other error, in place of a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Say it and end. What follows the first `; ` is the fix."""
        found = _OF_ARGUMENT.fullmatch(message)
        where, text = (self.prog, message) if found is None else (f"{self.prog} {found['name']}", found["what"])
        what, _, fix = text.partition("; ")
        self.exit(2, f"error: {what}\n  where: {where}\n  fix:   {fix or f'`{self.prog} --help` says what there is'}\n")


def whole(low: int, high: int) -> Callable[[str], int]:
    """The kind of a whole number within bounds. A number that no database holds is as wrong as a word."""
    return _bounded(int, "whole number", low, high, f"{low} or more, {high} at most")


def number(low: float, high: float, *, above: bool = False) -> Callable[[str], float]:
    """The kind of a number within bounds, `low` itself left out where `above`. NaN is no number, and out of all."""
    bounds = f"{f'above {low:g}' if above else f'{low:g} or more'}, {high:g} at most"
    return _bounded(float, "number", math.nextafter(low, math.inf) if above else low, high, bounds)


def _bounded(
    convert: Callable[[str], _Number], kind: str, least: float, most: float, bounds: str
) -> Callable[[str], _Number]:
    def read(text: str) -> _Number:
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind}; write a {kind}, {bounds}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is out of bounds; write a {kind}, {bounds}")
        return value

    return read


def instant(text: str) -> datetime:
    """A time as a person writes it; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 2013-01-31 or 2013-01-31T16:00:00Z") from None


def day(text: str) -> date:
    """A day as a person writes it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write 2013-01-31") from None


row_id = whole(1, 2**31 - 1)  # what a column of ids holds
rows = whole(1, MOST_ROWS)  # how many rows to show
minutes = number(0, 100_000, above=True)  # of work
port = whole(0, 65535)  # 0: any that is free
