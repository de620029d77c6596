"""Text with links and times in it: what is said is decided once, and each page draws it its own way. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from pipelines.values import dataclass

Tone = Literal["good", "bad", "plain"]
Kind = Literal["component", "market", "release", "run"]
_LISTED = 4  # names in a line


@dataclass(frozen=True)
class Ref:
    """A name that leads somewhere: `key` is the component's name, the market's id, the release's name, the run's id."""

    kind: Kind
    key: str
    text: str


Part = str | Ref | datetime
Line = tuple[Part, ...]


@dataclass(frozen=True)
class Answer:
    """A question that a person asks and what there is to say: `head` first, then `lines`. tone: whether it is good or
    bad news, which the words say as well. curve: values over time, for a line without axes."""

    question: str
    head: Line
    lines: tuple[Line, ...] = ()
    tone: Tone = "plain"
    curve: tuple[float, ...] = ()


def plain(line: Line) -> str:
    """The line as text alone; times in UTC."""
    return "".join(
        part if isinstance(part, str) else part.text if isinstance(part, Ref) else f"{part:%Y-%m-%d %H:%M} UTC"
        for part in line
    )


def listed(refs: Sequence[Ref], most: int = _LISTED) -> Line:
    """Names with commas between them, those beyond `most` counted."""
    line = joined([(ref,) for ref in refs[:most]], ", ")
    return line if len(refs) <= most else (*line, f" and {len(refs) - most:,} more")


def joined(lines: Iterable[Line], between: str) -> Line:
    """Lines as one, with `between` between them."""
    found: list[Part] = []
    for line in lines:
        found += [between, *line] if found else line
    return tuple(found)


def polyline(values: Sequence[float], width: float, height: float) -> str:
    """The points of an SVG polyline through `values`, spread over the width; its y grows downwards. Zero is in the
    picture, so that a curve below it looks like one. Empty for fewer than two values."""
    if len(values) < 2:
        return ""
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    step = width / (len(values) - 1)
    return " ".join(f"{number * step:.1f},{height * (high - value) / span:.1f}" for number, value in enumerate(values))


def together(curves: Sequence[Sequence[tuple[float, float]]], width: float, height: float) -> list[str]:
    """Points of SVG polylines through curves of (x, y), on the same axes; empty for one of fewer than two points."""
    every = [point for curve in curves for point in curve]
    if not every:
        return ["" for _ in curves]
    (left, right), (low, high) = ((min(axis), max(axis)) for axis in zip(*every, strict=True))
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    return [
        " ".join(f"{width * (x - left) / wide:.1f},{height * (high - y) / tall:.1f}" for x, y in curve)
        if len(curve) > 1
        else ""
        for curve in curves
    ]
