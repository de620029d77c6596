"""Pages that were read before: each is parsed once, by its content, and memory does not grow."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipelines.feed import Parsed, Stream
from pipelines.inbox.memory import PageMemory
from pipelines.source import QUARANTINE_COLUMNS, TICK_COLUMNS, frame_schema
from pipelines.sources import kalshi
from tests.pages import fill, kalshi_trade, kalshi_trades
from tests.unit.pipelines.inbox.test_collected import STREAM, source

NOTHING = pl.DataFrame(schema=frame_schema(QUARANTINE_COLUMNS))


def page(rows: int) -> Parsed:
    frame = pl.DataFrame({"price": [0.5] * rows}).cast(frame_schema(TICK_COLUMNS)["price"])
    return Parsed("ticks", frame, NOTHING)


def test_what_was_read_last_is_remembered_and_no_more_than_fits() -> None:
    memory, parsed = PageMemory(3 * 4096 + 3 * 80), list[int]()

    def read(number: int) -> Parsed:
        def parse() -> Parsed:
            parsed.append(number)
            return page(10)

        return memory.read((number,), parse)

    first = read(1)
    read(2), read(3)
    assert read(1) is first
    read(4)  # which takes the place of 2, the one that was read longest ago
    assert parsed == [1, 2, 3, 4]
    read(1), read(3), read(4)
    assert parsed == [1, 2, 3, 4]
    read(2)
    assert parsed == [1, 2, 3, 4, 2]


def test_what_cannot_be_parsed_is_not_remembered() -> None:
    memory = PageMemory(1 << 20)

    def fail() -> Parsed:
        raise ValueError("no page")

    with pytest.raises(ValueError, match="no page"):
        memory.read((1,), fail)
    assert memory.read((1,), lambda: page(1)).frame.height == 1


def test_a_part_that_grew_is_parsed_where_it_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.inbox.collected._recent", PageMemory(1 << 20))
    bodies, parse = list[bytes](), kalshi.FEED.parse

    def counted(feed: kalshi.KalshiFeed, stream: Stream, body: bytes) -> Parsed:
        bodies.append(body)
        return parse(feed, stream, body)

    monkeypatch.setattr(kalshi.FEED, "parse", counted)
    first, second, other = (kalshi_trades([kalshi_trade(number)]) for number in (1, 2, 3))
    fill(tmp_path, "kalshi", [("trades", STREAM, first)])
    (part,) = source(tmp_path).probe().parts
    assert source(tmp_path).fetch(part).frame.height == 1
    fill(tmp_path, "kalshi", [("trades", STREAM, second)])
    assert source(tmp_path).fetch(part).frame.height == 2  # another instance, as in the next run
    assert bodies == [first, second]
    # Another page in the same place, as after a restore, is another page.
    (log,) = tmp_path.rglob("*.log")
    log.unlink()
    fill(tmp_path, "kalshi", [("trades", STREAM, other)])
    assert source(tmp_path).fetch(part).frame.get_column("price").to_list() == [0.13]
    assert bodies == [first, second, other]
