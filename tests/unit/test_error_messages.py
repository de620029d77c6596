"""Every error that the program raises says where, and how to fix it: read off the source, to forget none."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from agent.execution.host.interface import AttemptFailed, Cancelled, CodeMoved
from pipelines.errors import PipelineError
from tests.paths import PROJECT

# Not raised with words of their own: a person's or a signal's stop, and the wrapper of a component's own error;
# one that writes its own.
EXEMPT = {Cancelled.__name__, AttemptFailed.__name__, CodeMoved.__name__}
FILES = sorted(path for room in ("src", "dashboard") for path in (PROJECT / room).rglob("*.py"))


@cache
def kinds() -> frozenset[str]:
    """Names of all our errors."""
    for module in ("agent.errors", "agent.store.database.engine", "agent.execution.host.interface"):
        importlib.import_module(module)
    found, waiting = set(), [PipelineError]
    while waiting:
        kind = waiting.pop()
        found.add(kind.__name__)
        waiting += kind.__subclasses__()
    return frozenset(found - EXEMPT)


def incomplete(source: str) -> Iterator[str]:
    """Errors made in `source` without where or fix."""
    known = kinds()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
            given = {keyword.arg for keyword in node.keywords}
            lacking = sorted({"where", "fix"} - given)
            if lacking:
                yield f"line {node.lineno}: {node.func.id} lacks {' and '.join(lacking)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(Path(path).relative_to(PROJECT)))
def test_errors_say_where_and_the_fix(path: Path) -> None:
    assert list(incomplete(path.read_text(encoding="utf-8"))) == []


def test_an_incomplete_error_would_be_found() -> None:
    assert list(incomplete('raise BadInput("no", where="there")')) == ["line 1: BadInput lacks fix"]
    assert list(incomplete('raise BadInput("no", where="there", fix="so")')) == []
