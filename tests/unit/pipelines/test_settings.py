"""The settings reader: what a TOML section becomes, and every fault at once, each with what to write instead."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SettingsError
from pipelines.settings import Faults, build, counted_values, describe, public_values, read_toml, setting


@dataclass(frozen=True)
class Inner:
    """A table inside a section."""

    path: str = setting(doc="where it lies")
    kind: Literal["spot", "equity"] = setting("spot", "what is traded")


@dataclass(frozen=True)
class Settings:
    """One of each kind of value."""

    name: str = setting("x", "what it is called")
    rows: int = setting(5, "how many", unit="rows", low=1, high=10)
    fee: float = setting(1.5, "what it costs", unit="bps", low=0)
    is_on: bool = setting(False, "whether it works")
    kind: Literal["logistic", "trees"] = setting("logistic", "which model")
    symbols: tuple[str, ...] = setting(("A",), "which markets")
    limit: int | None = setting(None, "at most, if anything", low=0)
    span: int | str = setting(1, "bars, or a word")
    columns: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[Inner, ...] = setting((), "tables")
    token: str = setting("", "who may", secret=True)
    every: int = setting(60, "when to look", counts=False)


@dataclass(frozen=True)
class Checked:
    """Settings that must agree with each other."""

    low: int = setting(0)
    high: int = setting(1)

    def check(self) -> list[str]:
        """A fault where they do not."""
        return [] if self.low < self.high else [f"low = {self.low} is not below high = {self.high}"]


def read(text: str, cls: type[Any] = Settings) -> tuple[Any, list[str]]:
    """What a section's text becomes, and the faults found."""
    faults = Faults("agent.toml")
    return build(cls, tomllib.loads(text), "model", faults), faults.found


def test_what_is_left_out_has_its_default() -> None:
    assert read("") == (Settings(), [])


def test_each_kind_of_value_is_read_as_its_type() -> None:
    text = """
        name = "y"
        rows = 10
        fee = 2
        is_on = true
        kind = "trees"
        symbols = ["B", "C"]
        limit = 0
        span = "day"
        columns = {close = 1, open = 0.5}
        parts = [{path = "a"}, {path = "b", kind = "equity"}]
        token = "t"
        every = 1
    """
    found, faults = read(text)
    assert faults == []
    assert found == Settings(
        *("y", 10, 2.0, True, "trees", ("B", "C"), 0, "day", {"close": 1.0, "open": 0.5}),
        *((Inner("a"), Inner("b", "equity")), "t", 1),
    )
    assert isinstance(found.fee, float)  # a whole number passes as a number
    assert isinstance(found.columns["close"], float)


def test_nothing_else_is_converted_by_guess() -> None:
    for text, fault in (
        ("rows = 5.0", "rows = 5.0 is not a whole number"),
        ("rows = true", "rows = True is not a whole number"),
        ("rows = '5'", "rows = '5' is not a whole number"),
        ("fee = true", "fee = True is not a number"),
        ("is_on = 1", "is_on = 1 is not true or false"),
        ("name = 1", "name = 1 is not text"),
        ("symbols = 'A'", "symbols = 'A' is not a list of text"),
        ("symbols = ['A', 1]", "symbols[1] = 1 is not text"),
        ("limit = 'none'", "limit = 'none' is not a whole number"),
        ("span = 1.5", "span = 1.5 is not a whole number or text"),
        ("columns = {open = 'x'}", "columns.open = 'x' is not a number"),
        ("columns = 1", "columns = 1 is not a table"),
        ("parts = [1]", "parts[0] = 1 is not a table"),
    ):
        found, faults = read(text)
        assert faults == [f"[model] {fault}"], text
        assert found == Settings(), "the default stands in the place of a fault"


def test_bounds_are_allowed_themselves_and_nothing_beyond() -> None:
    for text in ("rows = 1", "rows = 10", "fee = 0", "fee = 1e9", "limit = 0"):
        assert read(text)[1] == []
    for text, fault in (
        ("rows = 0", "rows = 0 is out of bounds: 1 to 10 rows"),
        ("rows = 11", "rows = 11 is out of bounds: 1 to 10 rows"),
        ("fee = -0.1", "fee = -0.1 is out of bounds: 0 to inf bps"),
        ("fee = nan", "fee = nan is out of bounds: 0 to inf bps"),
        ("limit = -1", "limit = -1 is out of bounds: 0 to inf"),
    ):
        assert read(text) == (Settings(), [f"[model] {fault}"])


def test_a_misspelt_name_or_choice_names_its_neighbour_and_a_strange_one_what_there_is() -> None:
    assert read("row = 5")[1] == ["[model] unknown setting 'row'; did you mean 'rows'?"]
    known = ", ".join(row["name"] for row in describe(Settings))
    assert read("zzz = 5")[1] == [f"[model] unknown setting 'zzz'; known are: {known}"]
    choice = "is not one of 'logistic', 'trees'"
    assert read("kind = 'tree'")[1] == [f"[model] kind = 'tree' {choice}; did you mean 'trees'?"]
    assert read("kind = 7")[1] == [f"[model] kind = 7 {choice}"]


def test_what_is_required_is_asked_for_with_its_sentence_and_place() -> None:
    assert read("kind = 'equity'", Inner) == (None, ["[model] 'path' is required (where it lies)"])
    assert read("path = 1", Inner) == (None, ["[model] path = 1 is not text"])
    assert read("parts = [{path = 'a'}, {kind = 'spott'}]")[1] == [
        "[model.parts[1]] 'path' is required (where it lies)",
        "[model.parts[1]] kind = 'spott' is not one of 'spot', 'equity'; did you mean 'spot'?",
    ]


def test_settings_that_must_agree_are_checked_together() -> None:
    assert read("high = 2", Checked) == (Checked(0, 2), [])
    assert read("low = 1", Checked)[1] == ["[model] low = 1 is not below high = 1"]


def test_all_faults_are_reported_at_once_with_the_file() -> None:
    faults = Faults("/x/agent.toml")
    faults.raise_if_any()
    build(Settings, {"rows": 0}, "model", faults)
    with pytest.raises(SettingsError, match="a setting is wrong") as caught:
        faults.raise_if_any()
    build(Settings, {"fee": "x", "row": 1}, "backtest", faults)
    with pytest.raises(SettingsError, match="3 settings are wrong") as caught:
        faults.raise_if_any()
    assert caught.value.where == "/x/agent.toml"
    for fault in faults.found:
        assert fault in str(caught.value)
    assert [fault.partition("]")[0] for fault in faults.found] == ["[model", "[backtest", "[backtest"]


def test_secrets_are_in_no_dump_and_what_says_when_explains_no_recompute() -> None:
    found = Settings(token="s3cret", parts=(Inner("a"),))
    shown = public_values(found)
    assert "s3cret" not in str(shown)
    assert "token" not in shown
    assert (shown["symbols"], shown["parts"]) == (["A"], [{"path": "a", "kind": "spot"}])
    assert set(shown) - set(counted_values(found)) == {"every"}


def test_the_reference_has_type_default_unit_and_bounds() -> None:
    rows = {row["name"]: row for row in describe(Settings)}
    assert rows["rows"] == {
        "name": "rows",
        "type": "a whole number",
        "default": 5,
        "doc": "how many",
        "unit": "rows",
        "low": 1,
        "high": 10,
        "above": None,
        "secret": False,
    }
    assert rows["kind"]["type"] == "one of 'logistic', 'trees'"
    assert (rows["limit"]["type"], rows["span"]["type"]) == ("a whole number", "a whole number or text")
    assert (rows["columns"]["type"], rows["columns"]["default"]) == ("a table", {})
    assert rows["parts"]["type"] == "a list of a table"
    assert rows["token"]["secret"] is True
    assert {row["name"]: row["default"] for row in describe(Inner)} == {"path": "required", "kind": "spot"}


def test_a_file_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    assert read_toml(path) == {}
    path.write_text("[model]\nrows = 3\n", encoding="utf-8")
    assert read_toml(path) == {"model": {"rows": 3}}
    for content in (b"[model\n", b"rows = 'x\n", b"a = 1\na = 2\n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(SettingsError, match="cannot read the settings") as caught:
            read_toml(path)
        assert caught.value.where == str(path)


values = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*Settings.__dataclass_fields__, "row"]), values))
def test_any_toml_gives_settings_within_their_types_and_bounds_or_faults_in_words(section: dict[str, Any]) -> None:
    faults = Faults("agent.toml")
    found = build(Settings, section, "model", faults)
    assert isinstance(found, Settings)
    assert all(fault.startswith("[model") for fault in faults.found)
    assert 1 <= found.rows <= 10
    assert found.fee >= 0
    assert type(found.is_on) is bool
    assert found.kind in ("logistic", "trees")
    assert all(isinstance(one, str) for one in found.symbols)
    assert faults.found or "row" not in section
