"""What an error offers is read again as it was meant, whatever a rule or a row of data says."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.components.ticks import Settings
from pipelines.data.tick_parts.intake import stopping
from pipelines.data.tick_parts.offer import offer_of, offered_rule
from pipelines.errors import BadInput
from pipelines.settings import Faults, build

TEXTS = st.text(st.characters(exclude_categories=["C"]), min_size=1)


@given(TEXTS, st.lists(TEXTS), st.text())
def test_an_offer_is_read_as_it_was_made(rule: str, left_out: list[str], row: str) -> None:
    offer = offer_of(rule, left_out)
    line = offer.removeprefix("set ").removesuffix(" under [ticks]")
    assert tomllib.loads(line) == {"on_bad_rows": [*left_out, rule]}
    assert offered_rule(str(BadInput(f"a row: {row}", where="x", fix=f"correct it, or {offer} to go on"))) == rule


@pytest.mark.parametrize("error", ["", "set on_bad_rows = [", "x set on_bad_rows = [3] under [ticks]", "set: 3"])
def test_no_offer_is_none(error: str) -> None:
    assert offered_rule(error) is None


def test_what_the_setting_may_be() -> None:
    def read(value: object) -> tuple[Settings, list[str]]:
        faults = Faults("agent.toml")
        return build(Settings, {"on_bad_rows": value}, "ticks", faults), faults.found

    for good, meant in (("fail", "fail"), ("quarantine", "quarantine"), (["a", "b"], ("a", "b")), ([], ())):
        assert read(good) == (Settings(on_bad_rows=meant), [])  # type: ignore[arg-type]
    (fault,) = read("quarantin")[1]
    assert fault.endswith("is not one of 'fail', 'quarantine' or a list of text; did you mean 'quarantine'?")
    assert len(read([1])[1]) == 1
    assert read(["quarantine"])[1] == [
        '[ticks] on_bad_rows: "quarantine" is about every rule: write it without brackets'
    ]


def test_only_the_rules_that_are_named_are_let_pass() -> None:
    import polars as pl

    bad = pl.DataFrame({"rule": ["a", "b", None]}, schema={"rule": pl.String})
    assert stopping(bad, "fail").rows() == bad.rows()
    assert stopping(bad, ()).rows() == bad.rows()
    assert stopping(bad, ("a", "c")).rows() == [("b",), (None,)]
    assert stopping(bad, "quarantine").is_empty()
