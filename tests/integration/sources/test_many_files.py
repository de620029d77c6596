"""Many small files are read as one table, and give what each of them gives by itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.data.file_tables import joined, rows
from pipelines.errors import BadInput
from pipelines.source import Bulk
from pipelines.sources.files import FilesSource
from tests.examples import examples
from tests.integration.sources.test_files import source

HEAD = "ts,price,size,symbol"
DATASET: dict[str, Any] = {"path": "*.csv", "kind": "spot", "content": "trades"}


def rows_of(bulks: Iterable[Bulk]) -> dict[str, tuple[int | None, pl.DataFrame, list[Any]]]:
    """Part -> rows read, good rows, bad rows."""
    found = {}
    for bulk in bulks:
        offset = 0
        for part, length, read in zip(bulk.parts, bulk.lengths, bulk.read, strict=True):
            bad = bulk.batch.quarantined
            found[part] = (read, bulk.batch.frame.slice(offset, length), [] if bad is None else bad.rows())
            offset += length
    return found


def both_ways(files: FilesSource) -> list[Bulk]:
    """The bulks of all files; they hold what single reading gives."""
    parts = list(files.probe().parts)
    bulks = list(files.fetch_many(parts))
    found = rows_of(bulks)
    assert found.keys() == set(parts)
    for part in parts:
        read, frame, bad = rows_of([Bulk.of_one(part, files.fetch(part))])[part]
        assert (read, bad) == (found[part][0], found[part][2])
        assert found[part][1].equals(frame)
    return bulks


LINE = st.sampled_from(
    [
        "2020-01-02T09:00:00Z,1.5,2,A",
        "2020-01-02T09:00:01Z,2.5,,B",
        "2020-01-02 09:00:02+00:00,3.5,1,A",
        "",
        ",,,",
        " , , ,",
    ]
)
TEXT = st.tuples(st.lists(LINE, max_size=5), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n\n"]))


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXT, min_size=1, max_size=6), where=st.sampled_from([None, {"symbol": "A"}]))
def test_together_is_one_by_one(texts: list[Any], where: Any, tmp_path: Path) -> None:
    for old in tmp_path.glob("*.csv"):
        old.unlink()
    for number, (lines, end, last) in enumerate(texts):
        body = end.join([HEAD, *lines]) + last.replace("\n", end)
        (tmp_path / f"{number}.csv").write_bytes(body.encode())
    files = source(tmp_path, DATASET if where is None else {**DATASET, "where": where})
    both_ways(files)
    names = {row[5:] for part in files.probe().parts for row in files.fetch(part).frame["market_id"].to_list()}
    assert set(files.markets()["external_id"]) >= {name.removeprefix(":") for name in names}


def write(folder: Path, count: int, line: str = "2020-01-02T09:00:00Z,{n}.5,2,A") -> None:
    for n in range(1, count + 1):
        (folder / f"{n:03}.csv").write_text(f"{HEAD}\n{line.format(n=n)}\n")


def test_a_bad_file_comes_alone_and_the_others_together(tmp_path: Path) -> None:
    write(tmp_path, 40)
    (tmp_path / "017.csv").write_text(f"{HEAD}\n2020-01-02T09:00:00Z,1,2,A\n2020-01-02T09:00:01Z,-1,2,A\n")
    bulks = both_ways(source(tmp_path, DATASET))
    assert len(bulks) < 12, "not forty"
    (alone,) = (bulk for bulk in bulks if bulk.batch.quarantined is not None and bulk.batch.quarantined.height)
    assert alone.parts == ("017.csv",)
    assert alone.batch.quarantined is not None
    assert alone.batch.quarantined.row(0)[:2] == ("line 3 of 017.csv", "price is not above zero")


@pytest.mark.parametrize(
    "text",
    [
        'ts,price,size,symbol\n2020-01-02T09:00:00Z,1.5,2,"A"\n',
        'ts,price,size,symbol\n2020-01-02T09:00:00Z,1.5,2,"A\nB"\n',
        "ts,size,price,symbol\n2020-01-02T09:00:00Z,2,1.5,A\n",
        "ts,price,size,symbol\r2020-01-02T09:00:00Z,1.5,2,A\r",
        "ts,price,size,symbol\n",
        "ts,price,size,symbol",
        "\ufeffts,price,size,symbol\n2020-01-02T09:00:00Z,1.5,2,A",
    ],
)
def test_an_odd_file_among_others_is_read_as_by_itself(tmp_path: Path, text: str) -> None:
    write(tmp_path, 3)
    (tmp_path / "002.csv").write_bytes(text.encode())
    both_ways(source(tmp_path, DATASET))


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", "the file is empty", "002.csv"),
        (f"{HEAD}\n1,2,3,4,5\n", "line 2 has 5 fields, the header has 4", "002.csv, line 2"),
        ("ts,prize,size,symbol\n2020-01-02T09:00:00Z,1.5,2,A\n", "there is no column 'price'", "002.csv"),
    ],
)
def test_an_error_names_its_file(tmp_path: Path, text: str, message: str, place: str) -> None:
    write(tmp_path, 3)
    (tmp_path / "002.csv").write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        list(source(tmp_path, DATASET).fetch_many(["001.csv", "002.csv", "003.csv"]))
    assert caught.value.where.endswith(place)


def test_files_without_a_header_and_with_the_day_in_their_name(tmp_path: Path) -> None:
    for day in ("20240309", "20240310", "20240311"):
        (tmp_path / f"{day}_trade.csv").write_text("34200000,1\n34201000,2\n")
    dataset = {
        **DATASET,
        "header": False,
        "market": "A",
        "timezone": "America/New_York",
        "ts_unit": "ms",
        "day_pattern": r"(?P<day>\d{8})_",
        "columns": {"ts": "column_1", "price": "column_2"},
    }
    (bulk,) = both_ways(source(tmp_path, dataset))
    assert bulk.batch.frame["ts"].dt.hour().to_list() == [14, 14, 13, 13, 13, 13]


def test_each_file_is_opened_once_and_no_table_is_made_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 200)
    read: list[Path] = []
    real = joined.text_of
    monkeypatch.setattr(joined, "text_of", lambda file: read.append(file) or real(file))  # type: ignore[func-returns-value]
    monkeypatch.setattr(rows, "read_raw", lambda *_: pytest.fail("a file was read by itself"))
    files = source(tmp_path, DATASET)
    (bulk,) = files.fetch_many(list(files.probe().parts))
    assert (len(bulk.parts), len(read)) == (200, 200)
