"""The project's pages, their code and their headings, for the tests of documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.paths import PROJECT

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language (empty without one) and its text."""

    language: str
    text: str


def pages() -> list[Path]:
    """Every page that people read, in the order of their paths."""
    found = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "CHANGELOG.md", PROJECT / "SECURITY.md"]
    for folder in ("docs", "examples", "changelog.d", "deploy"):
        found += (PROJECT / folder).rglob("*.md")
    return sorted(found)


def name_of(page: Path) -> str:
    """A page's path as people write it."""
    return page.relative_to(PROJECT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    return [Block(*found) for found in _FENCE.findall(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def inline_code(page: Path) -> list[str]:
    """What stands between backticks in the prose."""
    return _INLINE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may say after `#`, as GitHub makes it."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found
