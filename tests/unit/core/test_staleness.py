"""Every reason of staleness, one by one, and what each allows to keep."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.core.model import Code, Current, InputRecord, Mark, Reason, Spec, State
from agent.core.staleness import can_carry_over, decide_reasons, mark_in, redo_keys
from pipelines.snapshot import Reads

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = Spec("features", {"ticks": Reads(("price",)), "markets": Reads(("kind",))})
INPUTS = {"ticks": InputRecord(1, "t1", "rt1"), "markets": InputRecord(2, "m1", "rm1")}
FILES = {"pipelines.features": {"RSI_SPAN": "h1", "rsi": "h2"}}
CLEAN = State(
    "features",
    is_dirty=False,
    last_run_at=NOW - timedelta(hours=1),
    code_version="c1",
    code_files=FILES,
    settings_hash="s1",
    settings={"interval": 60, "costs": {"fee_bps": 2.0}},
    libraries={"polars": "2.1"},
    inputs=INPUTS,
    output_version="o1",
    output_snapshot_id=3,
)
SAME = Current(
    code_version="c1",
    code_files=FILES,
    definitions={"pipelines.features:RSI_SPAN": "pipelines/features.py:31", "pipelines.features:rsi": "…:40"},
    settings_hash="s1",
    settings={"interval": 60, "costs": {"fee_bps": 2.0}},
    libraries={"polars": "2.1"},
    inputs=INPUTS,
)


def reasons(state: State = CLEAN, current: Current = SAME, **more: Any) -> tuple[Reason, ...]:
    return decide_reasons(SPEC, state, current, now=NOW, **more)


def only(found: tuple[Reason, ...]) -> Reason:
    assert len(found) == 1, found
    return found[0]


def test_nothing_changed_nothing_found() -> None:
    assert reasons() == ()
    assert decide_reasons(SPEC, CLEAN, SAME, now=NOW + timedelta(days=9999)) == ()


def test_never_run_says_only_that() -> None:
    assert reasons(State("features")) == (Reason(Code.NEVER_RUN),)
    assert not can_carry_over(reasons(State("features")))


def test_a_mark_of_the_whole_component_carries_its_text() -> None:
    mark = Mark("ann", NOW, "bad volumes")
    found = only(reasons(replace(CLEAN, mark=mark)))
    assert found == Reason(Code.MARKED, old=NOW.isoformat(), new="ann", detail="bad volumes")
    assert not can_carry_over([found])
    assert mark_in([found]) == mark
    # As stored by versions that put name and words in one text.
    assert mark_in([Reason(Code.MARKED, detail="ann: bad volumes")]) == Mark(reason="ann: bad volumes")


def test_a_mark_of_partitions_keeps_the_others() -> None:
    state = replace(CLEAN, mark=Mark(reason="late prices", partitions=("2012", "2013")))
    found = reasons(state)
    assert found == (Reason(Code.MARKED, subject="2012, 2013", detail="late prices"),)
    assert can_carry_over(found)
    assert redo_keys(found, state, SAME) == {"2012", "2013"}
    assert mark_in(found) == state.mark


def test_a_flag_that_only_shows_what_was_found_is_nobodys_mark() -> None:
    for shown in (replace(CLEAN, is_dirty=True, dirty_reason="ticks changed"), replace(CLEAN, is_dirty=True)):
        assert reasons(shown) == ()
    assert mark_in(()) is None


def test_a_mark_on_a_row_that_shows_what_was_found_counts() -> None:
    state = replace(CLEAN, is_dirty=True, dirty_reason="ticks changed", mark=Mark(reason="bad volumes"))
    assert only(reasons(state)).detail == "bad volumes"


def test_forced() -> None:
    assert only(reasons(forced=True)).code == Code.FORCED
    assert not can_carry_over(reasons(forced=True))


def test_failed_and_crashed_keep_the_last_success() -> None:
    failed = reasons(replace(CLEAN, status="failed", last_error="disk full\nTraceback …"))
    assert failed == (Reason(Code.FAILED, detail="disk full"),)
    crashed = only(reasons(replace(CLEAN, status="running", lease_owner="host/1/2/3")))
    assert crashed.code == Code.FAILED
    assert "died" in crashed.detail
    assert can_carry_over([*failed, crashed])


def test_one_changed_definition_is_shown_with_its_place_and_hashes() -> None:
    files = {"pipelines.features": {"RSI_SPAN": "h9", "rsi": "h2"}}
    found = only(reasons(current=replace(SAME, code_version="c2", code_files=files)))
    assert found == Reason(
        Code.CODE_CHANGED, "pipelines.features:RSI_SPAN", old="h1", new="h9", detail="pipelines/features.py:31"
    )
    assert not can_carry_over([found])


def test_several_changed_definitions_are_one_reason() -> None:
    files = {"pipelines.features": {"RSI_SPAN": "h9"}, "pipelines.costs": {"fee": "h5"}}
    found = only(reasons(current=replace(SAME, code_version="c2", code_files=files)))
    assert found.subject == "pipelines.costs:fee, pipelines.features:RSI_SPAN, pipelines.features:rsi"
    assert (found.old, found.new) == ("c1", "c2")
    assert len(found.detail.split(", ")) == 3


def test_code_that_moved_without_changing_its_version_is_no_reason() -> None:
    assert reasons(current=replace(SAME, code_files={}, definitions={})) == ()


def test_each_changed_setting_with_both_values() -> None:
    settings = {"interval": 300, "costs": {"fee_bps": 2.0}, "extra": "x"}
    found = reasons(current=replace(SAME, settings_hash="s2", settings=settings))
    assert found == (
        Reason(Code.SETTINGS_CHANGED, "extra", old=None, new='"x"'),
        Reason(Code.SETTINGS_CHANGED, "interval", old="60", new="300"),
    )
    assert not can_carry_over(found)


def test_settings_compare_alike_after_a_trip_through_json() -> None:
    state = replace(CLEAN, settings={"spans": [1, 2], "day": "2020-01-01"})
    now = replace(SAME, settings_hash="s2", settings={"spans": (1, 2), "day": datetime(2020, 1, 1, tzinfo=UTC).date()})
    assert "not shown" in only(reasons(state, now)).detail


def test_library_changed() -> None:
    found = reasons(current=replace(SAME, libraries={"polars": "2.2", "scikit-learn": "1.9"}))
    assert found == (
        Reason(Code.LIBRARY_CHANGED, "polars", old="2.1", new="2.2"),
        Reason(Code.LIBRARY_CHANGED, "scikit-learn", old=None, new="1.9"),
    )
    assert not can_carry_over(found)


def test_each_changed_input_in_the_order_it_is_declared() -> None:
    inputs = {"ticks": InputRecord(8, "t2", "rt2"), "markets": InputRecord(9, "m2", "rm2")}
    found = reasons(current=replace(SAME, inputs=inputs))
    assert [(r.code, r.subject, r.old, r.new) for r in found] == [
        (Code.INPUT_CHANGED, "ticks", "rt1", "rt2"),
        (Code.INPUT_CHANGED, "markets", "rm1", "rm2"),
    ]
    assert can_carry_over(found)


@pytest.mark.parametrize(
    "record",
    [
        InputRecord(9, "m2", "rm1"),  # other columns changed
        InputRecord(9, "m1", "how it is read was computed otherwise"),  # the whole is the same
    ],
)
def test_an_input_that_reads_the_same_is_unchanged(record: InputRecord) -> None:
    assert reasons(current=replace(SAME, inputs=INPUTS | {"markets": record})) == ()


def test_an_input_on_record_that_is_none_any_more_is_a_reason() -> None:
    spec = Spec("features", {"ticks": Reads(("price",))})
    found = decide_reasons(spec, CLEAN, replace(SAME, inputs={"ticks": INPUTS["ticks"]}), now=NOW)
    assert only(found).subject == "markets"


def test_a_source_with_new_data() -> None:
    state = replace(CLEAN, inputs=INPUTS | {"source:sample": InputRecord(0, "p1", "p1")})
    now = replace(SAME, inputs=INPUTS | {"source:sample": InputRecord(0, "p2", "p2")})
    found = reasons(state, now)
    assert found == (Reason(Code.SOURCE_NEW_DATA, "sample", old="p1", new="p2"),)
    assert can_carry_over(found)


def test_damage_is_told_by_key_and_many_are_summed_up() -> None:
    now = replace(SAME, missing=("2012",), altered=tuple(str(year) for year in range(2000, 2010)))
    missing, altered = reasons(current=now)
    assert missing == Reason(Code.OUTPUT_MISSING, "2012")
    assert altered.code == Code.OUTPUT_ALTERED
    assert altered.subject == ""
    assert altered.detail.startswith("10 partitions: 2000, 2001")
    assert can_carry_over([missing, altered])
    assert redo_keys([missing, altered], CLEAN, now) == {*now.missing, *now.altered}


def test_too_old_looks_at_the_last_success_and_trusts_nothing_that_was_read_before() -> None:
    limit = replace(SAME, max_age_seconds=1800.0)
    assert reasons(replace(CLEAN, last_run_at=NOW - timedelta(minutes=30)), limit) == ()
    found = only(reasons(replace(CLEAN, last_run_at=NOW - timedelta(minutes=31)), limit))
    assert found == Reason(Code.TOO_OLD, old="1860", new="1800", detail="seconds")
    assert not can_carry_over([found])


def test_all_at_once_come_in_one_order() -> None:
    state = replace(CLEAN, status="failed", mark=Mark())
    now = replace(
        SAME,
        code_version="c2",
        settings_hash="s2",
        libraries={"polars": "2.2"},
        inputs=INPUTS | {"ticks": InputRecord(5, "t5", "rt5"), "source:sample": InputRecord(0, "p", "p")},
        missing=("a",),
        altered=("b",),
        max_age_seconds=1.0,
    )
    codes = [reason.code for reason in reasons(state, now, forced=True)]
    assert codes == [code for code in Code if code in codes]
    assert set(codes) == set(Code) - {Code.NEVER_RUN, Code.RETRAIN_DUE}


@pytest.mark.parametrize("field", ["code_files", "settings", "libraries", "inputs"])
def test_a_column_that_someone_broke_by_hand_never_hides_a_change(field: str) -> None:
    """A broken JSON column is read as empty: the fingerprint's own columns still decide."""
    lost: dict[str, Any] = {field: {}}
    state = replace(CLEAN, **lost)
    changed = replace(SAME, code_version="c2", settings_hash="s2")
    assert {Code.CODE_CHANGED, Code.SETTINGS_CHANGED} <= {reason.code for reason in reasons(state, changed)}


def test_the_part_of_a_source_that_changed_is_named_where_it_is_on_record() -> None:
    def found(old: dict[str, str], new: dict[str, str]) -> str:
        state = replace(CLEAN, inputs=INPUTS | {"source:files": InputRecord(0, "p1", "p1", old)})
        now = replace(SAME, inputs=INPUTS | {"source:files": InputRecord(0, "p2", "p2", new)})
        (reason,) = decide_reasons(SPEC, state, now, now=NOW)
        return reason.detail

    assert found({"a.csv": "1", "b.csv": "1"}, {"a.csv": "2", "b.csv": "1"}) == "a.csv changed"
    assert found({"a.csv": "1"}, {"b.csv": "1"}) == "a.csv is gone, b.csv is new"
    assert found({}, {"b.csv": "1"}) == ""
    assert found({"z": "1"}, dict.fromkeys("abcdz", "2")) == "a is new, b is new, c is new, and 2 more"


def test_a_dataset_added_is_one_readable_change() -> None:
    """A list of tables is compared table by table, and what is not set in it is not told."""
    first = {"path": "a/*.csv", "kind": "spot", "where": None}
    second = {"path": "b/*.csv", "kind": "fx", "where": None}
    state = replace(CLEAN, settings={"datasets": [first]}, settings_hash="1")
    added = replace(SAME, settings={"datasets": [first, second]}, settings_hash="2")
    (reason,) = reasons(state, added)
    assert (reason.subject, reason.old) == ("datasets[1]", None)
    assert reason.new == 'path = "b/*.csv", kind = "fx"'
    moved = replace(SAME, settings={"datasets": [{**first, "path": "c/*.csv"}]}, settings_hash="3")
    (reason,) = reasons(state, moved)
    assert (reason.subject, reason.old, reason.new) == ("datasets[0].path", '"a/*.csv"', '"c/*.csv"')
