"""The messages on docs/troubleshooting.md are messages of the program, word for word."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.paths import PROJECT

PAGE = PROJECT / "docs" / "troubleshooting.md"
# Python's own, what is printed before anything can be imported, and what is filled in from a table.
ELSEWHERE = {
    "No module named agent.orchestrator": "tests/e2e/test_own_packages.py",
    "component … is being run by …": "src/agent/store/leases.py",
    "another package called pipelines goes before the one of tidemill": "src/agent/__init__.py",
}


def texts(node: ast.expr) -> set[str]:
    """What an expression may say, with … for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.JoinedStr(values=parts):
            return {"".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)}
        case ast.IfExp(body=one, orelse=other):
            return texts(one) | texts(other)
        case _:
            return set()


@cache
def messages() -> frozenset[str]:
    """First arguments of everything in the source that is made with where=."""
    found: set[str] = set()
    for path in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and "where" in {keyword.arg for keyword in node.keywords}:
                found |= texts(node.args[0])
    return frozenset(found)


def entries(page: str) -> list[tuple[str, str]]:
    """Message and explanation."""
    return re.findall(r"^### `([^`\n]+)`\n\n(.+?)(?=\n##|\Z)", page, re.MULTILINE | re.DOTALL)


def test_quoted_messages_exist() -> None:
    found = entries(PAGE.read_text(encoding="utf-8"))
    assert len(found) == PAGE.read_text(encoding="utf-8").count("\n### ")
    assert len(found) > 20
    unknown = [message for message, _ in found if message not in messages() and message not in ELSEWHERE]
    assert unknown == []
    for message, place in ELSEWHERE.items():
        source = (PROJECT / place).read_text(encoding="utf-8").replace("`", "").replace("{}", "…")
        assert message in source


def test_a_message_that_was_reworded_would_be_found() -> None:
    assert "the database URL cannot be read" in messages()
    assert "the database's URL is unreadable" not in messages()
    assert texts(ast.parse('f"no {x} in {y!r}" if x else "none"', mode="eval").body) == {"no … in …", "none"}
