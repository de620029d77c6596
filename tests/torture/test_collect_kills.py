"""A collector killed in a backfill, at points of the inbox and of its rows, again and again: the server's log says that
nothing was asked for twice beyond the overlap, and what is read is what an undisturbed collector brought."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from agent import settings as agent_settings
from agent.collect.passing import remote_sources
from pipelines.inbox.collected import CollectedSource
from pipelines.testing.venue_replies import Market, PolymarketVenue, Trade
from pipelines.testing.venues import Asked, serving
from tests.paths import PROJECT
from tests.processes import environment
from tests.torture.faults import COLLECTING, points_in_source, read_log

pytestmark = pytest.mark.torture
PROGRAM = (
    "from tests.torture.faults import install; install(); from agent.cli.main import main; raise SystemExit(main())"
)
# Passed by files that are full, torn, a day old or joined: see test_inbox_kills.
ELSEWHERE = ("inbox.file.sealed", "inbox.tail.cut", "inbox.compact")


def venue(count: int) -> PolymarketVenue:
    """`count` markets with 40 days of prices each: some requests apiece."""
    now = datetime.now(UTC).replace(microsecond=0)
    first = now - timedelta(days=40)
    found = {}
    for number in range(count):
        name = f"0x{number + 17:064x}"
        trades = [Trade(first + timedelta(hours=n), 0.3 + (n * number) % 40 / 100) for n in range(24 * 40)]
        found[name] = Market(name, trades, first - timedelta(hours=1), now + timedelta(days=9))
    return PolymarketVenue(found)


def settings(folder: Path, url: str, count: int) -> Path:
    folder.mkdir()
    urls = "\n".join(f'{name}_url = "{url}"' for name in ("gamma", "clob", "data"))
    (folder / "agent.toml").write_text(
        f"[sources.polymarket]\n{urls}\nlimit = {count}\nhistory_days = 38.0\n[executor]\nlease_seconds = 5.0\n"
    )
    return folder


def collect(folder: Path, point: str = "", nth: int = 0, log: Path | None = None) -> int:
    fault = {"point": point, "nth": nth, "do": "kill", "log": None if log is None else str(log)}
    paths = os.pathsep.join([str(PROJECT / "src"), str(PROJECT)])
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "collect", "--once"],
        cwd=folder,
        env={**environment(TIDE_FAULT=json.dumps(fault)), "PYTHONPATH": paths},
        capture_output=True,
        timeout=300,
        check=False,
        start_new_session=True,  # a kill takes the group
    ).returncode


def read(folder: Path, until: datetime) -> pl.DataFrame:
    """All prices of 37 days before `until`, each once."""
    source = remote_sources(agent_settings.load(folder))["polymarket"]
    assert isinstance(source, CollectedSource)
    parts = [part for part in source.probe().parts if part.startswith("quotes/")]
    # Where a history begins is each its own.
    rows = pl.concat([source.fetch(part).frame for part in parts])
    rows = rows.filter(pl.col("ts").is_between(until - timedelta(days=37), until))
    return rows.unique(("market_id", "ts", "seq"), keep="last").sort("market_id", "ts")


def beyond_the_overlap(asked: list[Asked]) -> Counter[tuple[str, int]]:
    """Market and 15-minute piece of time -> how often it was asked for, where more than once; the newest hours, which
    are asked for again on purpose, left out."""
    pieces: Counter[tuple[str, int]] = Counter()
    newest = max(int(one.one("endTs")) for one in asked) - 7200
    for one in asked:
        low, high = int(one.one("startTs")), min(int(one.one("endTs")), newest)
        pieces.update((one.one("market"), piece) for piece in range(low // 900 + 1, high // 900 - 1))
    return Counter({piece: count for piece, count in pieces.items() if count > 1})


def test_killed_again_and_again_a_backfill_asks_for_nothing_twice(
    tmp_path: Path, is_long: bool, seed: int, figures: Counter[str]
) -> None:
    count, rounds = (200, 100) if is_long else (12, 5)
    rng, until = random.Random(seed), datetime.now(UTC) - timedelta(hours=3)
    points = sorted(name for name in points_in_source() if name.startswith(COLLECTING))
    points = [name for name in points if not name.startswith(ELSEWHERE)]
    same = venue(count)
    with serving({"polymarket": same, "quiet": same}) as server:
        quiet = settings(tmp_path / "quiet", server.url("quiet"), count)
        assert collect(quiet, log=tmp_path / "points") == 0
        assert set(points) <= set(read_log(tmp_path / "points"))
        undisturbed = read(quiet, until)
        assert undisturbed.height > 0
        folder, kills = settings(tmp_path / "killed", server.url("polymarket"), count), 0
        for number in range(rounds):
            nth = rng.randint(1, 3) if points[number % len(points)].startswith("collector") else rng.randint(1, 6)
            status = collect(folder, points[number % len(points)], nth)
            assert status in (0, -signal.SIGKILL), status
            kills += status != 0
        assert collect(folder) == 0
        asked = [one for one in server.asked("polymarket") if one.path == "/prices-history"]
        unwritten = kills * 16  # what was under way or not flushed at a kill: one page for each that asks
        repeated = beyond_the_overlap(asked)
        pages = Counter(one.identity for one in asked)
        assert sum(times - 1 for times in pages.values()) <= unwritten
        assert len({market for market, _ in repeated}) <= unwritten
        assert read(folder, until).equals(undisturbed)
        before = len(server.log)
        assert remote_sources(agent_settings.load(folder))["polymarket"].markets().height == count
        assert len(server.log) == before
        figures["1 collector: killed in a backfill"] += kills
