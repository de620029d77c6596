"""The log of pages: nothing that was flushed is lost, nothing half written is read, and parts never change."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import LakeError
from pipelines.inbox import writer as writing
from pipelines.inbox.compaction import compact
from pipelines.inbox.pages import PART_BYTES, SEALED_MODE, Header, Inbox, pack, valid_length
from pipelines.inbox.writer import BULK_BYTES, Writer

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def header(number: int = 0, at: datetime = NOW, stream: str = "s") -> Header:
    return Header(stream, f"cursor {number}", at, token=1, low=at - timedelta(hours=1), high=at, rows=number)


def write(inbox: Inbox, *bodies: bytes, kind: str = "bars", at: datetime = NOW) -> None:
    """One writer's life: all of it in one flush."""
    writer = Writer(inbox)
    for number, body in enumerate(bodies):
        writer.append(kind, header(number, at), body)
    writer.flush(at)
    writer.close()


def bodies(inbox: Inbox, kind: str = "bars") -> list[bytes]:
    return [frame.body() for frame in inbox.frames(kind)]


def test_a_page_comes_back_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    write(inbox, b"{}", b"")
    first, second = inbox.frames("bars")
    assert (first.body(), second.body()) == (b"{}", b"")
    assert first.header == Header("s", "cursor 0", NOW, 1, NOW - timedelta(hours=1), NOW, rows=0, size=2)
    assert list(inbox.headers("bars", {})) == [first.header, second.header]


def test_headers_are_read_from_where_one_left_off(tmp_path: Path) -> None:
    inbox, seen = Inbox(tmp_path), dict[str, int]()
    write(inbox, b"a", b"b")
    assert [one.rows for one in inbox.headers("bars", seen)] == [0, 1]
    assert list(inbox.headers("bars", seen)) == []
    write(inbox, b"c")
    assert [one.rows for one in inbox.headers("bars", seen)] == [0]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6), st.data())
def test_a_torn_tail_is_never_read_and_is_cut_off(made: list[bytes], data: st.DataObject) -> None:
    """At whatever byte a write ends: whole pages before it are there, and what is written next comes right after."""
    whole = b"".join(itertools.chain.from_iterable(pack(header(number), body) for number, body in enumerate(made)))
    cut = data.draw(st.integers(0, len(whole)))
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        inbox = Inbox(Path(folder))
        (Path(folder) / "bars").mkdir()
        (Path(folder) / "bars" / "2026-11-26.0001.log").write_bytes(whole[:cut])
        kept = bodies(inbox)
        assert kept == made[: len(kept)]
        assert valid_length(whole[:cut]) <= cut
        write(inbox, b"next")
        assert bodies(Inbox(Path(folder))) == [*kept, b"next"]


@pytest.mark.parametrize("damage", [b"\0" * 400, b"\xff" * 400])
def test_what_a_power_cut_leaves_behind_the_last_page_is_no_page(tmp_path: Path, damage: bytes) -> None:
    inbox = Inbox(tmp_path)
    write(inbox, b"one")
    with next(iter(tmp_path.glob("bars/*"))).open("ab") as file:
        file.write(damage)
    assert bodies(Inbox(tmp_path)) == [b"one"]
    write(Inbox(tmp_path), b"two")
    assert bodies(Inbox(tmp_path)) == [b"one", b"two"]


def test_another_day_begins_another_file_and_seals_the_one_before(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    write(inbox, b"1")
    write(inbox, b"2", at=NOW + timedelta(days=1))
    first, second = inbox.files("bars")
    assert (first.name, second.name) == ("2026-11-26.0001.log", "2026-11-27.0001.log")
    assert (first.is_sealed, second.is_sealed) == (True, False)
    assert first.path.stat().st_mode & 0o777 == SEALED_MODE


def test_a_clock_that_was_put_back_changes_no_order(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    write(inbox, b"1")
    write(inbox, b"2", at=NOW - timedelta(days=3))
    assert bodies(inbox) == [b"1", b"2"]
    assert [one.name for one in inbox.files("bars")] == ["2026-11-26.0001.log"]


def test_a_long_file_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SEAL_BYTES", 100)
    inbox = Inbox(tmp_path)
    write(inbox, b"1")
    write(inbox, b"2")
    assert [(one.name, one.is_sealed) for one in inbox.files("bars")] == [
        ("2026-11-26.0001.log", True),
        ("2026-11-26.0002.log", True),
    ]
    assert bodies(inbox) == [b"1", b"2"]


def test_a_backfill_is_sealed_and_what_comes_bit_by_bit_is_not(tmp_path: Path) -> None:
    inbox, writer = Inbox(tmp_path), Writer(Inbox(tmp_path))
    writer.append("bars", header(), _incompressible(BULK_BYTES // 2, 1))
    writer.flush(NOW)
    writer.append("bars", header(), _incompressible(BULK_BYTES // 2, 2))
    writer.append("quotes", header(), b"a page")
    writer.flush(NOW)
    writer.seal_backfill()
    writer.close()
    write(inbox, b"later", kind="bars")
    assert [(one.name[-8:], one.is_sealed) for one in inbox.files("bars")] == [("0001.log", True), ("0002.log", False)]
    assert [one.is_sealed for one in inbox.files("quotes")] == [False]
    second = Writer(inbox)
    second.append("bars", header(), b"and later")
    second.flush(NOW)
    second.seal_backfill()  # of what this writer wrote, however long the file is
    second.close()
    assert [one.is_sealed for one in inbox.files("bars")] == [True, False]
    assert [len(one) for one in bodies(inbox)] == [BULK_BYTES // 2] * 2 + [5, 9]


def test_a_page_more_changes_one_part(tmp_path: Path) -> None:
    """Also where a page is larger than a part, and where it ends just at the edge of one."""
    inbox, noise = Inbox(tmp_path), bytes(range(256))
    seen: dict[str, str] = {}
    rows: dict[str, list[bytes]] = {}
    for number in range(40):
        size = (3 * PART_BYTES) if number == 7 else PART_BYTES // 5
        write(inbox, _incompressible(size, number) + noise)
        parts = inbox.parts()
        changed = {name for name in parts if seen.get(name) != parts[name]}
        assert len(changed - {name for name in parts if name not in seen}) <= 1
        for name in set(parts) - changed:
            assert [one.packed for one in inbox.part(name)] == rows[name]
        seen, rows = parts, {name: [one.packed for one in inbox.part(name)] for name in parts}
    assert list(seen) == sorted(seen)
    assert list(itertools.chain.from_iterable(rows[name] for name in seen)) == [
        one.packed for one in inbox.frames("bars")
    ]


def _incompressible(size: int, seed: int) -> bytes:
    import random

    return random.Random(seed).randbytes(size)


def test_joined_files_keep_their_parts(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for day in range(4):
        write(inbox, f"day {day}".encode(), at=NOW + timedelta(days=day))
    before, pages = inbox.parts(), bodies(inbox)
    assert compact(inbox, "bars", before="2026-11-28") == ["2026-11-26.0001.log", "2026-11-27.0001.log"]
    after = Inbox(tmp_path)
    assert list(after.parts().items()) == list(before.items())
    assert bodies(after) == pages
    assert len(list(tmp_path.glob("bars/*"))) == 3
    assert compact(after, "bars", before="2026-11-28") == []
    write(after, b"more", at=NOW + timedelta(days=9))
    assert bodies(Inbox(tmp_path)) == [*pages, b"more"]


def test_pages_are_there_once_where_joining_was_cut_short(tmp_path: Path) -> None:
    """The joined file lies there and an old one too: as after a kill between the two."""
    inbox = Inbox(tmp_path)
    for day in range(3):
        write(inbox, f"day {day}".encode(), at=NOW + timedelta(days=day))
    old = (tmp_path / "bars/2026-11-26.0001.log").read_bytes()
    before, pages = inbox.parts(), bodies(inbox)
    compact(inbox, "bars", before="2026-11-28")
    (tmp_path / "bars/2026-11-26.0001.log").write_bytes(old)
    assert (Inbox(tmp_path).parts(), bodies(Inbox(tmp_path))) == (before, pages)
    compact(Inbox(tmp_path), "bars", before="2026-11-28")
    assert not (tmp_path / "bars/2026-11-26.0001.log").exists()
    assert bodies(Inbox(tmp_path)) == pages


def test_an_altered_sealed_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    write(inbox, b"page", at=NOW)
    write(inbox, b"page", at=NOW + timedelta(days=1))
    first = inbox.files("bars")[0]
    first.path.chmod(0o600)
    data = bytearray(first.path.read_bytes())
    data[-1] ^= 1
    first.path.write_bytes(data)
    first.path.chmod(SEALED_MODE)
    with pytest.raises(LakeError, match="sealed file") as caught:
        Inbox(tmp_path).part(f"bars/{first.name}#00")
    assert first.name in caught.value.where


def test_an_unknown_part_is_a_key_error(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    write(inbox, b"page")
    for name in ("bars/2026-11-26.0001.log#01", "bars/other.log#00", "no/such/part", "bars/2026-11-26.0001.log"):
        with pytest.raises(KeyError):
            inbox.part(name)


def test_a_full_disk_loses_no_page_before_and_leaves_no_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox(tmp_path)
    writer = Writer(inbox)
    writer.append("bars", header(), b"one")
    writer.flush(NOW)
    writer.append("bars", header(), b"two")
    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "fsync", _full)
        with pytest.raises(LakeError, match="No space left") as caught:
            writer.flush(NOW)
    assert caught.value.fix
    writer.append("bars", header(), b"three")
    writer.flush(NOW)
    writer.close()
    assert bodies(inbox) == [b"one", b"three"]


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")
