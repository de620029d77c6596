"""Every page has one place: in the index, and in the navigation of the site (`make site`)."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.docs.pages import name_of, pages
from tests.docs.test_links import links
from tests.paths import PROJECT

INDEX = PROJECT / "docs" / "index.md"


def listed(nav: Any) -> Iterator[str]:
    """Pages in a navigation, in order."""
    match nav:
        case str():
            yield nav
        case list():
            for one in nav:
                yield from listed(one)
        case dict():
            yield from listed(list(nav.values()))


def test_the_index_lists_each_page_once() -> None:
    counts = Counter((INDEX.parent / link.partition("#")[0]).resolve() for link in links(INDEX))
    assert [page for page, count in counts.items() if count > 1] == []
    there = {page for page in pages() if page.is_relative_to(INDEX.parent) and page != INDEX}
    assert {name_of(page) for page in there - counts.keys()} == set()


def test_the_site_lists_each_page_once() -> None:
    """Decisions are reached through the index alone: they are many, and for few."""
    nav = list(listed(tomllib.loads((PROJECT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))
    assert len(nav) == len(set(nav))
    assert all((PROJECT / page).is_file() for page in nav)
    names = {name_of(page) for page in pages() if page.is_relative_to(INDEX.parent)}
    assert {name for name in names if "/decisions/" not in name} <= set(nav)


def test_a_nested_navigation_is_read() -> None:
    assert list(listed([{"A": "a.md"}, {"B": ["b.md", {"C": "c.md"}]}])) == ["a.md", "b.md", "c.md"]
