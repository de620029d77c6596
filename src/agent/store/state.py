"""The rows of orchestrator_state: read whole, written by one conditional statement each.

A statement that an attempt makes carries the lease's token in its WHERE (fencing): a process that was overtaken while
it slept changes nothing. The start of an attempt alone removes the mark, so that one set meanwhile stays.

No statement here names `is_dirty`: triggers (alembic/versions/0004_marks.py) keep it true where there is a mark or a
reason, and take an UPDATE that does name it for a person's, who sets the mark or removes it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import sqlalchemy as sa

from agent.core.explain import found_text, mark_text
from agent.core.model import Code, InputRecord, Mark, Reason, State
from agent.errors import DatabaseError, NotFound
from agent.store import lake_identity
from agent.store.database.engine import ask_with_time, database_now, insert, try_of
from agent.store.database.urls import shown
from agent.store.leases import Free, Kind, Lease, component_rows, free_at, holding, no_such_row, of_component, take_free
from agent.store.records import inputs_from_json, inputs_to_json
from agent.store.tables import orchestrator_state, snapshots, try_state
from pipelines.values import dataclass

log = logging.getLogger("tidemill.state")
_ROWS = 256  # kept as they were read: of a few projects


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("not a list of keys")
    return tuple(value)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return cast(dict[str, Any], value)


def _nested(value: Any) -> dict[str, dict[str, str]]:
    return {module: _mapping(hashes) for module, hashes in _mapping(value).items()}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "marked_partitions": _names,
    "code_files": _nested,
    "settings": _mapping,
    "libraries": _mapping,
    "input_versions": inputs_from_json,
}
_COLUMNS = tuple(name for name in orchestrator_state.c.keys() if name != "lease_taken_at")  # noqa: SIM118 - no mapping
_UNMARKED: Mapping[str, Any] = dict.fromkeys(("marked_at", "marked_by", "marked_reason", "marked_partitions"))


class Statements:
    """The statements about the rows of production (`try_id` 0), or of one try. Made once, since building a statement
    costs more than executing it, and some run several times a component."""

    def __init__(self, try_id: int) -> None:
        self.table = table = try_state if try_id else orchestrator_state
        self.own: Mapping[str, int] = {"try_id": try_id} if try_id else {}
        self.kind: Kind = component_rows(try_id)
        c, here = table.c, self.kind.within
        # No trigger keeps a try's flag.
        is_dirty = c.is_dirty if not try_id else sa.or_(c.marked_at.is_not(None), c.dirty_reason.is_not(None))
        # JSON as text: a value that is none would otherwise raise while its row is fetched, and take all rows with it.
        read = (
            is_dirty.label(name)
            if name == "is_dirty"
            else sa.cast(c[name], sa.Text).label(name)
            if name in _READERS
            else c[name]
            for name in _COLUMNS
        )
        self.every_row = sa.select(*read).where(here).order_by(c.component)
        self.some_rows = self.every_row.where(c.component.in_(sa.bindparam("components", expanding=True)))
        # One row of it, locked, with when its lease was taken and what all components have put out: a line each.
        each = table.alias()
        of_each = sa.and_(sa.true(), *(each.c[name] == value for name, value in self.own.items()))
        output = sa.cast(sa.func.coalesce(each.c.output_snapshot_id, 0), sa.Text)
        outputs = sa.select(sa.func.aggregate_strings(output + " " + each.c.component, "\n")).where(of_each)
        self.locked = (
            self.every_row.add_columns(c.lease_taken_at, outputs.scalar_subquery())
            .where(c.component == sa.bindparam("key"))
            .with_for_update()
        )
        newest = sa.select(sa.func.max(snapshots.c.id)).where(
            snapshots.c.component == c.component, snapshots.c.try_id == try_id
        )
        self.held = self.kind.held_row.add_columns(
            lake_identity.IDENTITY.scalar_subquery(), newest.correlate(table).scalar_subquery(), c.marked_at
        )
        self.of_holder = self.kind.of_holder
        self.of_running = self.of_holder.where(c.status == "running")
        self.success = self.of_holder.values(run_count=c.run_count + 1)
        self.failure = self.of_holder.values(
            failure_count=c.failure_count + 1, consecutive_failures=c.consecutive_failures + 1
        )
        of_shown = sa.update(table).where(c.component == sa.bindparam("shown_component"), here)
        self.show_first = of_shown.where(c.dirty_reason.is_(None))
        differs = c.dirty_reason.is_distinct_from(sa.bindparam("shown", type_=c.dirty_reason.type))
        if not try_id:
            differs |= c.is_dirty != sa.or_(c.marked_at.is_not(None), c.dirty_reason.is_not(None))
        self.show = of_shown.where(differs)


@lru_cache(maxsize=64)
def statements_of(try_id: int) -> Statements:
    """Those about the rows of a try; of production for 0."""
    return Statements(try_id)


def statements(conn: sa.Connection) -> Statements:
    """Those about the rows that a connection is meant for."""
    return statements_of(try_of(conn))


@dataclass(frozen=True)
class Held:
    """A component whose lease is held. lake: what the database calls itself in its lake. newest_snapshot_id: of the
    component. is_marked: since its attempt began. now: of the database."""

    lake: str | None
    newest_snapshot_id: int | None
    is_marked: bool
    now: datetime


@dataclass(frozen=True)
class FreeRow:
    """The row of a component whose lease is free, locked until the transaction ends. `outputs`: component -> its
    newest snapshot, of those that have one."""

    free: Free
    state: State
    outputs: Mapping[str, int]


def ensure_rows(conn: sa.Connection, components: Iterable[str]) -> None:
    """Make a row, dirty and never run, for each component that has none."""
    never, of = [Reason(Code.NEVER_RUN)], statements(conn)
    own: dict[str, Any] = {**of.own} if of.own else {"is_dirty": True}
    values = [{"component": name, **own, "dirty_reason": found_text(name, never)} for name in components]
    if values:
        conn.execute(insert(conn, of.table).on_conflict_do_nothing(), values)


def load_states(
    conn: sa.Connection, components: Collection[str] | None = None, try_id: int | None = None
) -> dict[str, State]:
    """Every row, or those of `components`, by component in alphabetical order. Of what `conn` is meant for, unless
    `try_id` says otherwise.

    A JSON column that someone broke by hand counts as unknown: the component comes out dirty, with the column in
    `dirty_reason`, and a warning is logged. Raises DatabaseError for a time that is none.
    """
    found, of = {}, statements(conn) if try_id is None else statements_of(try_id)
    with _readable_times(conn):
        if components is None:
            loaded = conn.execute(of.every_row).all()
        else:
            loaded = conn.execute(of.some_rows, {"components": list(components)}).all()
    for row in loaded:
        one, broken = _state_of(*row)
        if broken:
            log.warning("component %s: %s; it is recomputed", one.component, one.dirty_reason)
        found[one.component] = one
    return found


def find_free(conn: sa.Connection, component: str) -> FreeRow:
    """Look whether the lease on a component can be taken, lock its row and read it. Raises Busy and NotFound as
    `leases.find_free` does.

    One statement: outputs of other components are those at its beginning. A commit that locked this row to show a
    changed input has changed the row by then, for whoever waited for it.
    """
    name = of_component(component)
    with _readable_times(conn):
        found = ask_with_time(conn, statements(conn).locked, {"key": component})
    if found is None:
        raise no_such_row(name)
    row, now = found
    count = len(_COLUMNS)
    one, _ = _state_of(*row[:count])
    taken_at, outputs = row[count : count + 2]
    lines = (line.partition(" ") for line in outputs.split("\n"))
    return FreeRow(
        free_at(
            name,
            now,
            held_by=one.lease_owner,
            token=one.lease_token,
            expires_at=one.lease_expires_at,
            taken_at=taken_at,
        ),
        one,
        {name: int(number) for number, _, name in lines if number != "0"},
    )


@contextmanager
def _readable_times(conn: sa.Connection) -> Iterator[None]:
    """Raise DatabaseError where a row holds a time that is none."""
    try:
        yield
    except ValueError as error:  # SQLite alone takes any text for a time
        raise DatabaseError(
            f"a time in orchestrator_state cannot be read: {error}",
            where=shown(conn.engine.url),
            fix="write it as '2026-01-31 12:00:00' (UTC), or set it to NULL",
        ) from error


@lru_cache(maxsize=_ROWS)
def _state_of(*row: Any) -> tuple[State, bool]:
    """A row as `_EVERY_ROW` gives it, and whether something in it is broken. A run reads each row several times, mostly
    as it was."""
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    broken = []
    for name, read in _READERS.items():
        text = values.pop(name)
        try:
            value = None if text is None else read(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError):
            value = None
            broken.append(name)
        if value is not None or name == "marked_partitions":
            values["inputs" if name == "input_versions" else name] = value
    mark = _mark(values)
    if broken:
        answer = f"{' and '.join(broken)} in its row of orchestrator_state cannot be read"
        values |= {"is_dirty": True, "dirty_reason": answer}
        mark = Mark(at=mark.at if mark else None, reason=answer)
    return State(**values, mark=mark), bool(broken)


def _mark(values: dict[str, Any]) -> Mark | None:
    """Take the columns of the mark out of a row; None where nobody marked it."""
    at, by, reason, keys = (values.pop(f"marked_{name}") for name in ("at", "by", "reason", "partitions"))
    return None if at is None else Mark(by or "", at, reason or "", keys)


def mark_dirty(conn: sa.Connection, component: str, mark: Mark, try_id: int | None = None) -> None:
    """Ask for a recompute of `component`, or of some partitions of it; without a time, now. `try_id` as in load_states.
    Raises NotFound.

    Marks add up: the whole component outweighs single partitions; the newest gives the name, words of earlier ones
    follow. One that is set while an attempt runs is for the next one.
    """
    of = statements(conn) if try_id is None else statements_of(try_id)
    _lock = sa.select(of.table.c.component).where(of.table.c.component == component, of.kind.within).with_for_update()
    if conn.execute(_lock).one_or_none() is None:
        known = sa.select(of.table.c.component).where(of.kind.within).order_by(of.table.c.component)
        names = ", ".join(conn.scalars(known))
        raise NotFound(f"there is no component {component!r}", where="orchestrator_state", fix=f"known are: {names}")
    whole = _both(load_states(conn, (component,), try_id)[component].mark, mark)
    values = {
        "marked_at": whole.at or database_now(conn),
        "marked_by": whole.by or None,
        "marked_reason": whole.reason or None,
        "marked_partitions": None if whole.partitions is None else list(whole.partitions),
    }
    conn.execute(sa.update(of.table).where(of.table.c.component == component, of.kind.within).values(**values))


def _both(old: Mark | None, new: Mark) -> Mark:
    """One mark that asks for what both ask for."""
    if old is None:
        return new
    keys = None
    if old.partitions is not None and new.partitions is not None:
        keys = tuple(sorted({*old.partitions, *new.partitions}))
    before = old.reason if not old.reason or old.by == new.by else mark_text(old.by, old.reason)
    return replace(new, reason="; ".join(dict.fromkeys(filter(None, [new.reason, before]))), partitions=keys)


def show_dirty(conn: sa.Connection, component: str, text: str) -> None:
    """Show a cause that nobody asked for, where none is shown."""
    conn.execute(statements(conn).show_first, {"shown_component": component, "dirty_reason": text})


def begin_attempt(conn: sa.Connection, free: Free, owner: str, seconds: float) -> Lease:
    """Take the lease that was found free on a component, remove the mark and show the component as running. Raises Busy
    as `leases.take_free` does."""
    return take_free(conn, free, owner, seconds, {**_UNMARKED, "dirty_reason": None, "status": "running"})


def hold(conn: sa.Connection, component: str, token: int) -> Held | None:
    """What a success is committed on top of, in one statement, its row locked until the transaction ends; None where
    the lease is not held with `token` any more."""
    found = ask_with_time(conn, statements(conn).held, holding(component, token))
    if found is None:
        return None
    row, now = found
    return Held(row[1], row[2], row[3] is not None, now)


def give_up_attempt(conn: sa.Connection, component: str, token: int) -> bool:
    """Give the lease back without a result. False where it is no longer held with `token`.

    An attempt that was begun has cleared the flag, so giving it up shows a reason again.
    """
    of = statements(conn)
    begun = _update(conn, component, token, {"status": "idle"}, of.of_running)
    held = _update(conn, component, token, of.kind.released, of.of_holder)
    if begun:
        show_dirty(conn, component, "the last attempt was given up")
    return held


def show_reasons(conn: sa.Connection, texts: Mapping[str, str | None]) -> None:
    """Let the flag show what an evaluation found: component -> its reasons in words, or None where there are none.

    A person's mark, which may have come after the evaluation read the row, stays. Rows that show it already are not
    written.
    """
    for component, text in texts.items():
        conn.execute(statements(conn).show, {"shown_component": component, "dirty_reason": text, "shown": text})


def commit_success(
    conn: sa.Connection,
    component: str,
    token: int,
    *,
    now: datetime,
    code_version: str,
    code_files: Mapping[str, Mapping[str, str]],
    settings_hash: str,
    settings: Mapping[str, Any],
    libraries: Mapping[str, str],
    inputs: Mapping[str, InputRecord],
    output_version: str,
    output_snapshot_id: int,
    output_rows: int,
    duration_s: float | None,
) -> bool:
    """Record a success and give the lease back. False, and nothing written, where the lease was taken over.

    duration_s: None where nothing was computed; then the last one stays.

    `is_dirty` stays as it is: a mark set while the component ran is for the next attempt.
    """
    of = statements(conn)
    values = {
        "status": "idle",
        "last_run_at": now,
        "consecutive_failures": 0,
        "last_error": None,
        "next_retry_at": None,
        "code_version": code_version,
        "code_files": code_files,
        "settings_hash": settings_hash,
        "settings": settings,
        "libraries": libraries,
        "input_versions": inputs_to_json(inputs),
        "output_version": output_version,
        "output_snapshot_id": output_snapshot_id,
        "output_rows": output_rows,
        **({} if duration_s is None else {"last_duration_s": duration_s}),
        **of.kind.released,
    }
    return _update(conn, component, token, values, of.success)


def commit_failure(
    conn: sa.Connection, component: str, token: int, *, now: datetime, error: str, next_retry_at: datetime | None
) -> bool:
    """Record a failed attempt and give the lease back. False, and nothing written, where the lease was taken over.

    What the last success recorded stays. The flag is set for people who look; a mark set meanwhile keeps its keys.
    """
    of = statements(conn)
    values = {
        "status": "failed",
        "last_error": error,
        "last_failed_at": now,
        "next_retry_at": next_retry_at,
        **of.kind.released,
    }
    held = _update(conn, component, token, values, of.failure)
    if held:
        show_dirty(conn, component, "the last attempt failed")
    return held


def _update(conn: sa.Connection, component: str, token: int, values: Mapping[str, Any], statement: sa.Update) -> bool:
    # Values as parameters, not as part of the statement: three times quicker.
    return conn.execute(statement, {**holding(component, token), **values}).rowcount == 1
