"""Events as stored: rows recorded before events were classes stay readable and are written the same way."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import events
from agent.core.explain import event_sentence
from agent.core.model import Block, Code, Compute, Defer, Reason, Skip

# (type, payload) of the rows that runs, approvals, failures and deaths left, before events were classes.
RECORDED: list[tuple[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "recorded_events.json").read_text(encoding="utf-8")
)
WHY = (Reason(Code.MARKED, "2013", detail="ann: late prices"),)
SENTENCES = (
    (events.RunCreated("all", "refresh up to publish"), "asked for: refresh up to publish"),
    (events.RunCreated("refresh up to publish", trigger="schedule"), "asked for: refresh up to publish"),
    (events.RunStarted("refresh features", ("features",), "person"), "began (person): refresh features"),
    (events.AgentThinking({}), "everything is up to date"),
    (
        events.AgentThinking({"ticks": ("it has never run", "it was forced"), "model": ("x",)}, ("markets",)),
        "stale: ticks (it has never run; it was forced), model (x)",
    ),
    (events.PlanGenerated((Skip("ticks"),)), "nothing to compute"),
    (
        events.PlanGenerated(
            (Skip("ticks"), Compute("features", WHY), Compute("model", WHY), Defer("b", (), "x"), Block("c", "b"))
        ),
        "compute features, model; defer b; block c",
    ),
    (events.ApprovalRequested("2026-01-01T00:00:00+00:00"), "waits for approval until 2026-01-01T00:00:00+00:00"),
    (events.ApprovalGiven("ann", "fine"), "approved by ann: fine"),
    (events.ApprovalRejected("ann", None), "rejected by ann"),
    (
        events.CodeChanged(("own.py",), 1, 3),
        "own.py changed before anything was computed with it: decided again (1 of at most 3 times)",
    ),
    (events.ApprovalExpired("the deadline", "too late"), "expired by the deadline: too late"),
    (events.Started("ticks", 1, 1, ("never_run",), ("ticks runs because x",)), "ticks runs because x"),
    (
        events.Started("ticks", 2, 1, ("a", "b"), ("ticks runs because x", "ticks runs because y")),
        "ticks runs because x; ticks runs because y (try 2)",
    ),
    (
        events.Finished("ticks", 1, 1, {}, "0123456789", 48616, 1.04, 3, 0, ()),
        "ticks came out new: 48,616 rows, version 01234567, after 1.0 s",
    ),
    (
        events.CutOff("ticks", 1, 1, {}, "0123456789", 48616, 1.04, 3, 0, ()),
        "ticks came out the same after 1.0 s: nothing else runs because of it",
    ),
    (
        events.Assessed("publish", "2013-03-01-3f2a9c1b4d5e", "NO EDGE: nothing that chance does not show", False),
        "publish brought out 2013-03-01-3f2a9c1b4d5e: NO EDGE: nothing that chance does not show",
    ),
    (
        events.Failed("ticks", 1, 1, 1, "ValueError: bad\n  where: x", False, 0.4),
        "ticks failed after 0.4 s: ValueError: bad\n  where: x",
    ),
    (events.Failed("ticks", 1, 1, 2, "bad", True, 0.4), "ticks failed at try 2 after 0.4 s: bad"),
    (events.Cancelled("ticks", 1, "told to stop"), "ticks was ended: told to stop"),
    (
        events.TakenOver("ticks", "mill pid 7", (4,)),
        "ticks is taken over from mill pid 7, which died while it ran",
    ),
    (events.Skipped("ticks", "0123456789"), "ticks is up to date (version 01234567)"),
    (events.Skipped("ticks", None), "ticks is up to date"),
    (
        events.Deferred("model", "9 new rows", WHY),
        "model is deferred until 9 new rows, though its partition 2013 was marked by a person (ann: late prices)",
    ),
    (events.Blocked("model", "ticks", WHY), "model is blocked by ticks"),
    (events.RunCompleted(None, ("ticks", "model"), ()), "completed: computed ticks, model"),
    (events.RunCompleted(None, (), ()), "completed: nothing was due"),
    (events.RunFailed("ticks: bad", (), ("ticks",)), "failed: ticks: bad"),
    (events.RunFailed("it died", owner="mill pid 7"), "failed: it died (mill pid 7)"),
    (events.RunCancelled("rejected by ann"), "cancelled: rejected by ann"),
    (events.Unknown("NEW_KIND", {"a": 1, "b": None, "c": ["x", "y"]}), "a: 1; c: x, y"),
    (events.Unknown("NEW_KIND", {}), ""),
)


@pytest.mark.parametrize(("kind", "payload"), RECORDED)
def test_what_was_recorded_is_read_and_would_be_written_the_same(kind: str, payload: dict[str, Any]) -> None:
    event = events.from_json(kind, payload)
    assert not isinstance(event, events.Unknown)
    assert event.type == kind
    assert json.dumps(events.to_json(event)) == json.dumps(payload)  # the order of the keys too
    assert event_sentence(event)


def test_every_kind_was_recorded_and_has_its_sentence() -> None:
    assert {type(events.from_json(*row)) for row in RECORDED} == set(events.kinds())
    assert {type(event) for event, _ in SENTENCES} == {*events.kinds(), events.Unknown}


@pytest.mark.parametrize(("event", "words"), SENTENCES, ids=lambda one: type(one).__name__)
def test_sentences(event: events.Event, words: str) -> None:
    assert event_sentence(event) == words
    assert events.from_json(event.type, json.loads(json.dumps(events.to_json(event)))) == event


@given(st.sampled_from(RECORDED), st.data())
def test_a_row_changed_by_hand_is_shown_as_it_is(row: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    kind, payload = row
    name = data.draw(st.sampled_from(sorted(payload)))
    cut = {key: value for key, value in payload.items() if key != name}
    for broken in (cut, {**payload, name: data.draw(st.sampled_from([None, 5, "x", [], {}, [{}], {"a": None}]))}):
        event = events.from_json(kind, broken)
        assert event.type == kind
        assert isinstance(event_sentence(event), str)


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    row = {"by": "ann", "reason": None, "where": "the phone"}
    assert events.from_json("APPROVAL_GIVEN", row) == events.ApprovalGiven("ann", None)
    assert events.from_json("EXECUTING", {"component": "x", "phase": "danced"}) == events.Unknown(
        "EXECUTING", {"component": "x", "phase": "danced"}
    )


def test_types_of_their_own_tell_events_apart() -> None:
    told = {(kind.type, getattr(kind, "phase", "")) for kind in events.kinds()}
    assert len(told) == len(events.kinds())
    assert events.RunFailed("x") != events.RunCancelled("x")
    assert all(("component" in {one.name for one in fields(kind)}) == hasattr(kind, "phase") for kind in events.kinds())
