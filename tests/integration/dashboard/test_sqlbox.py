"""The SQL box answers questions, reads no file outside the lake and writes none at all."""

from __future__ import annotations

import io
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import UsageError
from agent.store import browse
from tests.lazy import Lazy

if TYPE_CHECKING:
    from dashboard.data import Session

sqlbox, sqlchild = Lazy("dashboard.sqlbox"), Lazy("dashboard.sqlchild")

REFUSED_BY_CHILDREN = 3  # as many as show that the child refuses; for the others its start would be all the cost
REFUSED = (
    "SELECT * FROM read_text('{base}/secret.txt')",
    "SELECT * FROM read_csv('{base}/secret.txt')",
    "SELECT * FROM '{base}/secret.txt'",
    "SELECT * FROM read_text('{lake}/../../secret.txt')",
    "SELECT * FROM read_text('{lake}/link.txt')",
    "SELECT * FROM read_blob('{base}/.tidemill/state.sqlite')",
    "SELECT * FROM glob('{base}/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "SELECT * FROM sqlite_scan('{base}/.tidemill/state.sqlite', 'runs')",
    "SELECT getenv('HOME')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{lake}/new.csv''')",
    "COPY (SELECT 1) TO '{lake}/new.csv'",
    "COPY (SELECT 1) TO '{base}/new.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/new.csv'",
    "EXPORT DATABASE '{lake}/new'",
    "ATTACH '{lake}/new.db'",
    "CREATE TABLE new AS SELECT 1",
    "DELETE FROM orchestrator_state",
    "UPDATE orchestrator_state SET is_dirty = true",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SELECT 1; COPY (SELECT 1) TO '{lake}/new.csv'",
    "PREPARE p AS SELECT 1",
    "CALL pragma_version()",
    "CHECKPOINT",
    "",
    "SELECT",
    "SELECT * FROM no_such_table",
)


def test_it_answers_over_state_and_lake(desk: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    state = sqlbox.ask(desk, "SELECT component, is_dirty, run_count FROM orchestrator_state ORDER BY component").frame
    assert state.height == 7
    assert state.get_column("run_count").to_list() == [1] * 7
    joined = sqlbox.ask(
        desk,
        "WITH counted AS (SELECT market_id, count(*) AS bars FROM bars GROUP BY market_id)"
        " SELECT m.symbol, bars FROM counted JOIN markets m USING (market_id) ORDER BY bars DESC",
    ).frame
    assert joined.height == 5
    assert joined.item(0, "bars") > 3000
    monkeypatch.setattr("dashboard.sqlbox._exchange", _in_this_process)
    for name in (*browse.table_names(), *sqlbox.views(desk)):
        sqlbox.ask(desk, f"SELECT * FROM {name}", rows=3)


def test_times_are_utc_and_long_answers_are_cut(desk: Session) -> None:
    answer = sqlbox.ask(desk, "SELECT ts FROM bars ORDER BY ts", rows=10)
    assert answer.is_cut
    assert answer.frame.height == 10
    assert "UTC" in str(answer.frame.schema["ts"])
    assert not sqlbox.ask(desk, "SELECT ts FROM bars LIMIT 10", rows=10).is_cut


def _in_this_process(sent: bytes) -> tuple[bytes, int]:
    """The child's work without a child and without limits of memory and time."""
    tail = io.BytesIO(sent)
    return sqlchild.answered(sqlchild.connected(), tail.readline(), tail, lambda *_: None), 0


def test_the_next_query_finds_a_process_that_waits(desk: Session) -> None:
    sqlbox.get_ready()
    ((_, waiting),) = sqlbox.ready
    sqlbox.get_ready()  # once is enough
    assert [child for _, child in sqlbox.ready] == [waiting]
    assert sqlbox.ask(desk, "SELECT 6 * 7 AS n").frame.item() == 42
    assert waiting.returncode == 0, "it answered"
    assert not sqlbox.ready
    # One that ended by itself is not asked.
    sqlbox.get_ready()
    ((_, waiting),) = sqlbox.ready
    assert waiting.communicate(timeout=60)[0] == b""
    assert waiting.returncode == 0
    assert sqlbox.ask(desk, "SELECT 6 * 7 AS n").frame.item() == 42


def test_what_it_must_not_do_is_refused(desk: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = desk.workspace.lake.root
    (lake / "link.txt").symlink_to(tmp_path / "secret.txt")
    before = _files(tmp_path)
    for number, query in enumerate(REFUSED):
        if number == REFUSED_BY_CHILDREN:
            monkeypatch.setattr("dashboard.sqlbox._exchange", _in_this_process)
        try:
            with pytest.raises(UsageError) as refused:
                sqlbox.ask(desk, query.format(base=tmp_path, lake=lake))
            assert refused.value.fix
            assert "the password" not in str(refused.value)
            assert _files(tmp_path) == before
        except (AssertionError, pytest.fail.Exception) as error:
            error.add_note(query)
            raise


def test_a_query_without_end_is_ended(desk: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.sqlbox.SECONDS", 0.3)
    with pytest.raises(UsageError, match="took longer"):
        sqlbox.ask(desk, "SELECT count(*) FROM bars a, bars b, bars c WHERE a.close + b.close > c.close")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT repeat('x', 2000000000) AS x",
        "SELECT length(repeat('x', 2000000000)) AS x",
        "SELECT list(range) FROM range(1000000000)",
        "SELECT repeat(repeat('x', 1000000), 3000) FROM range(10)",
    ],
)
def test_memory_has_a_limit_that_no_function_gets_around(desk: Session, query: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of any child of this process so far
    with pytest.raises(UsageError, match="too much memory"):
        sqlbox.ask(desk, query)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 1 << 20), "a GiB, in KiB"


def test_time_has_a_limit_that_no_function_gets_around(desk: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of a function that does not look whether it should end: its process is killed."""
    monkeypatch.setattr("dashboard.sqlbox.SECONDS", 1.0)
    monkeypatch.setattr("dashboard.sqlbox.GRACE_SECONDS", 1.0)
    text = "repeat('ab', 500000)"
    with pytest.raises(UsageError, match="took longer"):
        sqlbox.ask(desk, f"SELECT jaro_winkler_similarity({text}, reverse({text})) AS x")


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file's size and time of change, without the database's own files, which readers touch too."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir() and not path.name.startswith("state.sqlite")
    }
