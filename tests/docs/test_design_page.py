"""docs/concepts/design.md shows the floors that import-linter holds, and names files that exist."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.docs.pages import inline_code
from tests.paths import PROJECT

PAGE = PROJECT / "docs" / "concepts" / "design.md"


def floors(package: str) -> list[set[str]]:
    """The rooms of a package, the highest floor first, as pyproject.toml has them."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (found,) = [one for one in contracts["contracts"] if one.get("containers") == [package]]
    layers: list[str] = found["layers"]
    return [set(re.split(r" [|:] ", layer)) for layer in layers]


def shown(package: str) -> list[set[str]]:
    """The same as the page has them: rows of its table that begin with the number of a floor."""
    text = PAGE.read_text(encoding="utf-8").partition(f"**`{package}`**")[2].partition("\n**`")[0]
    rows = re.findall(r"^\| \d+ \| ([^|]*)", text, re.MULTILINE)
    return [{name.strip("/") for name in re.findall(r"`([a-z_]+/?)`", row)} for row in rows]


@pytest.mark.parametrize("package", ["pipelines", "agent"])
def test_floors_are_those_of_pyproject(package: str) -> None:
    expected = floors(package)
    assert shown(package) == expected
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)]
    assert list(range(len(expected), 0, -1)) in (numbers[: len(expected)], numbers[-len(expected) :])


def test_files_named_exist() -> None:
    roots: list[Any] = [PROJECT, PROJECT / "src", PROJECT / "src" / "agent"]
    for code in inline_code(PAGE):
        if re.fullmatch(r"[\w/]+/[\w/]*(\.py)?", code) and "NAME" not in code:
            assert any((root / code).exists() for root in [*roots, PROJECT / "src" / "pipelines"]), code
