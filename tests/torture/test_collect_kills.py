"""A collector killed in a backfill, at points of the inbox and of its rows, again and again: the server's log says that
nothing was asked for twice beyond the overlap, and what is read is what an undisturbed collector brought."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from agent import settings as agent_settings
from agent.collect.ledger import Ledger
from agent.collect.passing import remote_sources
from agent.core.model import Compute
from agent.execution import session
from agent.execution.runlog import Request
from agent.execution.workspace import open_workspace
from agent.service.wiring import around_runs
from agent.store.outputs import catalog
from pipelines.inbox.collected import CollectedSource
from pipelines.sources.polymarket import PolymarketFeed
from pipelines.testing.venue_replies import Market, PolymarketVenue, Trade
from pipelines.testing.venues import Asked, serving
from tests.processes import Nursery
from tests.torture.faults import COLLECTING, points_in_source, read_log

pytestmark = pytest.mark.torture
# Small groups and files, so that each point is passed again and again in a backfill of some hundred pages.
PROGRAM = """
from agent.collect import collector
from pipelines.inbox import writer
collector.GROUP_SECONDS, writer.SEAL_BYTES = 0.02, 20_000
from agent.cli.main import main
raise SystemExit(main())
"""
ELSEWHERE = "inbox.compact"  # joining is no part of a backfill: see test_inbox_kills
OVERLAP = timedelta(minutes=20, seconds=2)  # of samples each 10 minutes; requests count in whole seconds
TORN, MENDED = "inbox.frame.half", "inbox.tail.cut"  # a torn file is what the next one cuts off


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


def collect(nursery: Nursery, folder: Path, point: str = "", nth: int = 0, log: Path | None = None) -> int:
    """The exit status of a collector that does what it can, or is killed at a point."""
    fault = {"point": point, "nth": nth, "do": "kill", "log": None if log is None else str(log)}
    arguments, output = ["-c", PROGRAM, "collect", "--once"], folder.with_suffix(".output")
    return nursery.start(folder, "python", arguments, output, {"TIDE_FAULT": json.dumps(fault)}).wait()


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


def on_disk(folder: Path) -> dict[str, tuple[tuple[datetime, datetime], ...]]:
    """Token -> the spans that the inbox has, whoever was killed over it."""
    source = remote_sources(agent_settings.load(folder))["polymarket"]
    ledger = Ledger(source.name, source.inbox)
    ledger.catch_up()
    return {key.split("/")[1]: one.spans for key, one in ledger.streams.items() if one.kind == "quotes"}


def asked_again(asked: list[Asked], known: dict[str, tuple[tuple[datetime, datetime], ...]]) -> list[Asked]:
    """Requests about more of what was on disk before than a stream's overlap: there may be none."""
    found = []
    for one in asked:
        low, high = (datetime.fromtimestamp(int(one.one(name)), UTC) for name in ("startTs", "endTs"))
        both = sum(
            max(0.0, (min(high, end) - max(low, start)).total_seconds()) for start, end in known[one.one("market")]
        )
        if both > OVERLAP.total_seconds():
            found.append(one)
    return found


def changes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Callable[[], object]]:
    """What makes everything be read again: code, settings, a library."""
    file = folder / "agent.toml"
    return {
        "nothing": lambda: None,
        "code": lambda: monkeypatch.setattr("pipelines.inbox.collected._hash_of", lambda name: f"changed {name}"),
        "settings": lambda: file.write_text(
            file.read_text().replace("[executor]", '[ticks]\non_bad_rows = "quarantine"\n[executor]')
        ),
        "library": lambda: (
            monkeypatch.setattr(PolymarketFeed, "LIBRARIES", ("polars",), raising=False),
            monkeypatch.setattr("pipelines.inbox.collected._version_of", lambda name: "99.0"),
        ),
    }


def compute(folder: Path) -> tuple[bool, str]:
    """Whether ticks were computed by a run that a person asks for, and their version."""
    with open_workspace(folder) as workspace:
        report = session.perform(workspace, Request(targets=("ticks",)), around=around_runs())
        assert report.status == "COMPLETED", report
        with workspace.database.reading() as connections:
            made = catalog.latest_snapshot_id(connections.project, "ticks")
            assert made is not None
            version = catalog.load_snapshot(connections.project, made).version
    steps = {one.component: one.step for one in report.components}
    return isinstance(steps["ticks"], Compute), version


def test_killed_again_and_again_a_backfill_asks_for_nothing_twice(
    tmp_path: Path,
    heavy_nursery: Nursery,
    is_long: bool,
    seed: int,
    figures: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, until = random.Random(seed), datetime.now(UTC) - timedelta(hours=3)
    points = sorted(name for name in points_in_source() if name.startswith(COLLECTING))
    points = [name for name in points if not name.startswith(ELSEWHERE) and name not in (TORN, MENDED)]
    points = [TORN, MENDED, *points]
    count, rounds = (200, 100) if is_long else (12, len(points))
    same = venue(count)
    with serving({"polymarket": same, "quiet": same}) as server:
        quiet = settings(tmp_path / "quiet", server.url("quiet"), count)
        assert collect(heavy_nursery, quiet, log=tmp_path / "points") == 0
        assert set(points) - {MENDED} <= set(read_log(tmp_path / "points"))
        undisturbed = read(quiet, until)
        assert undisturbed.height > 0
        folder, kills = settings(tmp_path / "killed", server.url("polymarket"), count), Counter[str]()
        for number in range(rounds):
            point = points[number % len(points)]
            known, before = on_disk(folder) if number else {}, len(server.log)
            status = collect(heavy_nursery, folder, point, 1 if number < len(points) else rng.randint(1, 2))
            assert status in (0, -signal.SIGKILL), status
            kills[point] += status != 0
            since = [one for one in server.log[before:] if one.path == "/prices-history"]
            assert not asked_again([one for one in since if one.one("market") in known], known), point
        assert all(kills[point] for point in points), kills
        assert collect(heavy_nursery, folder) == 0
        asked = [one for one in server.asked("polymarket") if one.path == "/prices-history"]
        unwritten = kills.total() * 16  # what was under way or not flushed at a kill: one page for each that asks
        repeated = beyond_the_overlap(asked)
        pages = Counter(one.identity for one in asked)
        assert sum(times - 1 for times in pages.values()) <= unwritten
        assert len({market for market, _ in repeated}) <= unwritten
        assert read(folder, until).equals(undisturbed)
        before, version = len(server.log), ""
        for what, change in changes(monkeypatch, folder).items():
            change()
            is_computed, made = compute(folder)
            assert is_computed, what
            assert made == (version or made), what
            version = made
        assert len(server.log) == before
        figures["1 collector: killed in a backfill"] += kills.total()
