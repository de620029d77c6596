"""Equal data, equal version; what differs is named; readers see the columns they declared and no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.snapshot import EVERYTHING, Partition, Reads, Snapshot, diff, digest

Content = dict[str, dict[str, str]]  # partition key -> column -> hash
hashes = st.sampled_from(["h0", "h1", "h2"])
contents = st.dictionaries(
    st.sampled_from(["bars/2012", "bars/2013", "features/2012", "model", ".memo"]),
    st.dictionaries(st.sampled_from(["price", "volume"]), hashes),
    max_size=5,
)


def partition(key: str, columns: dict[str, str], path: str = "somewhere", rows: int = 1, day: int = 1) -> Partition:
    return Partition(
        key=key,
        path=path,
        rows=rows,
        content_hash=digest(text for pair in sorted(columns.items()) for text in pair),
        file_hash="file",
        file_size=1,
        file_mtime_ns=1,
        min_ts=datetime(2013, 1, 1, tzinfo=UTC),
        max_ts=datetime(2013, 1, day, tzinfo=UTC),
        column_hashes=columns,
    )


def snapshot(content: Content, path: str = "somewhere") -> Snapshot:
    return Snapshot("features", tuple(partition(key, columns, path) for key, columns in content.items()))


@given(contents, contents)
def test_versions_are_equal_exactly_where_the_content_is(one: Content, other: Content) -> None:
    def public(content: Content) -> Content:
        return {key: columns for key, columns in content.items() if not key.startswith(".")}

    assert (snapshot(one).version == snapshot(other).version) == (public(one) == public(other))


@given(contents)
def test_neither_order_nor_place_nor_memos_count(content: Content) -> None:
    turned = dict(reversed(content.items()))
    assert snapshot(content).version == snapshot(turned, path="elsewhere").version
    assert snapshot(content).version == snapshot(content | {".memo": {"price": "other"}}).version


@given(contents, contents)
def test_diff_names_what_was_added_changed_or_removed(one: Content, other: Content) -> None:
    keys = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key) and key != ".memo"}
    assert diff(snapshot(one), snapshot(other)) == keys
    assert diff(None, snapshot(one)) == {key for key in one if key != ".memo"}
    assert diff(snapshot(one), snapshot(one)) == frozenset()


@given(contents, contents, st.sampled_from(["", "bars/", "features/"]))
def test_a_reader_sees_its_columns_and_partitions_only(one: Content, other: Content, prefix: str) -> None:
    reads = Reads(("price",), prefix)
    old, new = snapshot(one), snapshot(other)
    assert (old.version_of(reads) == new.version_of(reads)) == (diff(old, new, reads) == frozenset())
    quiet = {key: columns | {"volume": "moved"} for key, columns in one.items() if "price" in columns or not columns}
    loud = {key: columns for key, columns in one.items() if "price" in columns or not columns}
    changed = diff(snapshot(loud), snapshot(quiet), reads)
    assert all(not loud[key] for key in changed)  # only a file without columns became a table


def test_a_file_without_columns_counts_whole_for_every_reader() -> None:
    model = Partition("model", "p", 0, "content", "file", 1, 1)
    assert model.hash_of(("price",)) == "content"
    assert partition("bars/2012", {"volume": "h"}).hash_of(("price",)) is None


def test_the_version_is_pinned() -> None:
    """Versions on record must stay comparable from release to release: this value never changes."""
    assert snapshot({"2013": {"price": "h0"}}).version == "9e1803be303c34195ffb190b3ae6fd37"


def test_rows_and_watermark_leave_memos_out() -> None:
    made = Snapshot("ticks", (partition("2013", {}, rows=5, day=3), partition(".memo", {}, rows=7, day=9)))
    assert made.rows == 5
    assert made.watermark == datetime(2013, 1, 3, tzinfo=UTC)
    assert Snapshot("ticks", ()).watermark is None
    assert [p.key for p in made.select()] == ["2013"]
    assert made.by_key[".memo"].is_memo


def test_two_partitions_of_one_key_are_refused() -> None:
    with pytest.raises(ValueError, match="share a key"):
        Snapshot("ticks", (partition("2013", {}), partition("2013", {"price": "h1"})))


@given(st.lists(st.text(max_size=3)), st.lists(st.text(max_size=3)))
def test_a_digest_keeps_its_parts_apart(one: list[str], other: list[str]) -> None:
    assert (digest(one) == digest(other)) == (one == other)


def test_everything_is_the_plain_version() -> None:
    made = snapshot({"2013": {"price": "h0"}})
    assert made.version_of(EVERYTHING) == made.version


def test_versions_are_those_of_every_release_so_far() -> None:
    """Recorded versions are compared with ones computed now: another way to compute a hash must give the same."""
    parts = (
        partition("bars/2013", {"price": "h1", "volume": "h2"}),
        partition("bars/2012", {"price": "h3"}),
        Partition(".memo", "m", 0, "c3", "f", 1, 1),
        Partition("model", "m", 0, "cé", "f", 1, 1),
    )
    assert digest(["ab", "c"]) == "4826ed043ab3cdec576d8541fa5d5a80"
    found = Snapshot("x", tuple(replace(one, content_hash=f"c{n}") for n, one in enumerate(parts)))
    assert found.version == "b297e1c14fc845628da1d71ba79d1cc9"
    assert found.version_of(Reads(("price",), "bars/")) == "005a6972d59cdda442cc3927433f411a"
