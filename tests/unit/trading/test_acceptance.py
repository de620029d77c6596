"""Where each acceptance test is: see acceptance.toml. A name there that is no test fails here."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LIST: dict[str, Any] = tomllib.loads(Path(__file__).with_name("acceptance.toml").read_text(encoding="utf-8"))
NAMED = sorted(
    {one for part in ("acceptance", "cases", "conformance") for tests in LIST[part].values() for one in tests}
    | {one for each in LIST["mechanisms"].values() for one in each.values()}
)


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    bodies = [tree.body, *(one.body for one in tree.body if isinstance(one, ast.ClassDef))]  # a suite is a class
    return frozenset(one.name for body in bodies for one in body if isinstance(one, ast.FunctionDef))


@pytest.mark.parametrize("name", NAMED)
def test_what_is_listed_is_a_test(name: str) -> None:
    path, _, test = name.partition("::")
    assert test in names_in(path)


def test_each_number_has_a_test_or_says_what_is_open() -> None:
    assert {*LIST["acceptance"], *LIST["open"]} == {str(one) for one in range(1, 41)}
    assert all(LIST["acceptance"].values())


@pytest.mark.parametrize(("part", "most"), [("cases", 28), ("conformance", 30)])
def test_each_case_and_each_row_has_a_test(part: str, most: int) -> None:
    assert set(LIST[part]) == {str(one) for one in range(1, most + 1)}
    assert all(LIST[part].values())


def test_each_mechanism_fires_and_is_silent() -> None:
    assert len(LIST["mechanisms"]) == 7
    for one in LIST["mechanisms"].values():
        assert set(one) == {"fires", "silent"}
        assert one["fires"] != one["silent"]
