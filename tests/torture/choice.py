"""Which fault points a run of the tests kills at: all in the long form; in the bounded one those around commits and
leases, and a third of the others, another third for another state of the source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from functools import cache

from tests.paths import PROJECT

# Where two processes could both believe that a thing is theirs, or a result be half recorded.
ALWAYS = frozenset({"attempt", "commit", "heartbeat", "transaction"})


def family(point: str) -> str:
    """What a point belongs to: `commit` for `commit.state.written`."""
    return point.partition(".")[0]


@cache
def tree() -> str:
    """Hash of what is tested, src/ as it lies there; TORTURE_TREE takes the place of it to repeat a choice."""
    if given := os.environ.get("TORTURE_TREE"):
        return given
    found = hashlib.sha256()
    for path in sorted((PROJECT / "src").rglob("*.py")):
        found.update(path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]


def chosen(points: Collection[str], of_tree: str) -> list[str]:
    """The points of the bounded form, in the order of `points`."""
    rest = [point for point in points if family(point) not in ALWAYS]
    drawn = sorted(rest, key=lambda point: hashlib.sha256(f"{of_tree} {point}".encode()).digest())
    third = set(drawn[: -(-len(rest) // 3)])
    return [point for point in points if family(point) in ALWAYS or point in third]


def repeated_by() -> str:
    """The command that kills at the same points again."""
    return f"TORTURE_TREE={tree()} python -m pytest tests/torture/test_fault_points.py"
