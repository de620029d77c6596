"""Settings as they are typed: TOML that JSON has too, or the text itself."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.execution.tries.change import read
from agent.settings_typed import plain, value_of

_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abc ,#=.\u00e4"),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 3 ", 3),
        ("0.5", 0.5),
        ("true", True),
        ("'a,b'", "a,b"),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("a b", "a b"),
        ("1,2", "1,2"),
        ("1,", "1,"),
        ("1 # more", "1 # more"),
        ("1\nb = 2", "1\nb = 2"),
        ("1979-05-27", "1979-05-27"),
        ("07:32:00", "07:32:00"),
        ("1979-05-27 07:32:00Z", "1979-05-27 07:32:00Z"),
        ("[1979-05-27]", ["1979-05-27"]),
        ("{a = 1979-05-27}", {"a": "1979-05-27"}),
        ("9" * 5000, "9" * 5000),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_value_is_toml_or_the_text_itself(text: str, value: Any) -> None:
    found = value_of(text, "--set a.b")
    assert found == value
    assert type(found) is type(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@given(_VALUES)
def test_what_toml_can_say_is_read_as_it_was(value: Any) -> None:
    assert value_of(json.dumps(value, ensure_ascii=False), "--set a.b") == value


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "[1, inf]", "{a = nan}"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no number") as found:
        read([f"a.b={text}"])
    assert found.value.where == "--set a.b"


@pytest.mark.parametrize("given_", [["a.b=1", "a.b=2"], ["a.b=1", "a.b.c=2"], ["a.b.c=1", "a.b=2"]])
def test_what_would_overwrite_another_is_refused(given_: list[str]) -> None:
    with pytest.raises(UsageError, match="set twice"):
        read(given_)


def test_names_that_only_begin_alike_are_two() -> None:
    assert read(["a.b=1", "a.bc=2", "a.d.e=x"]) == {"a": {"b": 1, "bc": 2, "d": {"e": "x"}}}


def test_a_file_of_settings_has_no_dates_either() -> None:
    assert plain({"a": {"b": [date(1979, 5, 27)]}}, "more.toml") == {"a": {"b": ["1979-05-27"]}}
