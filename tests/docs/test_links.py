"""Links between the project's pages lead to files and headings that exist, and every page can be found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import anchors, name_of, pages, prose
from tests.paths import PROJECT

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    """Targets of a page's links inside the project, code left out."""
    found: list[str] = _LINK.findall(re.sub(r"`[^`\n]+`", "", prose(page)))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            broken.append(f"{link}: no such heading; there are {', '.join(sorted(anchors(target)))}")
    assert not broken


def test_every_page_of_docs_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [PROJECT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if link[0] != "#"]
    lost = [name_of(page) for page in pages() if page.is_relative_to(PROJECT / "docs") and page not in reached]
    assert not lost, "link to these pages from docs/index.md"


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`: [c](d.md), e\n\n# Twice\n\n# Twice\n\n[x](y.md#z) `[no](link.md)` [web](https://a.b)\n")
    assert links(page) == ["d.md", "y.md#z"]
    assert anchors(page) == {"a-b-c-e", "twice", "twice-1"}
