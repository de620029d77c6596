"""What a websocket brings is there at once, and what replies say of the same time replaces it, whatever happened to the
connection: against a real websocket server on this machine. Messages are shaped as in the recordings."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from websockets.asyncio.server import ServerConnection, serve

from agent import settings as agent_settings
from agent.collect import sockets
from agent.collect.passing import Passes, remote_sources
from agent.collect.sockets import Ears
from agent.execution.workspace import open_database
from pipelines.feed import Subscription
from pipelines.inbox.collected import CollectedSource
from pipelines.testing.venue_replies import Market, PolymarketVenue, Trade
from pipelines.testing.venues import serving
from tests.integration.collect.conftest import markets

NAME = f"0x{11:064x}"


class Scene:
    """A venue with replies and a websocket, and a project that collects its trades."""

    def __init__(self, folder: Path, port: int) -> None:
        self.begun = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        self.venue = PolymarketVenue(markets([NAME], 30, self.begun), lambda: datetime.now(UTC))
        self.folder, self.port, self.hellos = folder, port, list[Any]()
        self.number = 0

    @property
    def market(self) -> Market:
        return self.venue.markets[NAME]

    def source(self, name: str = "") -> CollectedSource:
        """The source of the project, or of another one that hears nothing."""
        found = remote_sources(agent_settings.load(self.folder))["polymarket"]
        return type(found)(found.settings, self.folder / name) if name else found

    def trade(self, token: str, price: float = 0.5) -> str:
        """Something is traded now: the message of it. Replies have it under another name."""
        self.number += 1
        at = datetime.now(UTC)
        self.market.trades = [*self.market.trades, Trade(at.replace(microsecond=0), price, float(self.number))]
        return self.message(token, at, price)

    def message(self, token: str, at: datetime, price: float) -> str:
        said = {"event_type": "last_trade_price", "market": NAME, "asset_id": token, "fee_rate_bps": "0"}
        traded = {"price": str(price), "side": "BUY", "size": str(self.number)}
        return json.dumps({**said, **traded, "timestamp": str(int(at.timestamp() * 1000))})


def rows_of(source: CollectedSource, *, is_heard: bool) -> pl.DataFrame:
    parts = [one for one in source.probe().parts if one.startswith("heard-trades/" if is_heard else "trades/")]
    found = [source.fetch(one).frame for one in parts]
    return pl.concat(found).unique(("market_id", "ts", "seq")).sort("ts", "seq") if found else pl.DataFrame()


async def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends, "it does not happen"
        await asyncio.sleep(0.02)


Speaks = Callable[[Scene, ServerConnection, str], Awaitable[None]]


def play(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    speaks: Speaks,
    then: Callable[[Scene, Ears], bool],
    flush_seconds: float = 0.05,
) -> Scene:
    """Listen until `then`, then pass once more: what is left is what replies say, and nothing else."""
    monkeypatch.setattr(sockets, "FLUSH_SECONDS", flush_seconds)
    monkeypatch.setattr(sockets, "pause", lambda *_: 0.05)

    async def run() -> Scene:
        async def speak(connection: ServerConnection) -> None:
            hello = json.loads(await connection.recv())
            scene.hellos.append(hello)
            await speaks(scene, connection, hello["assets_ids"][0])

        async with serve(speak, "127.0.0.1", 0) as server:
            scene = Scene(folder, next(iter(server.sockets)).getsockname()[1])
            with serving({"venue": scene.venue}) as http:
                urls = "\n".join(f'{one}_url = "{http.url("venue")}"' for one in ("gamma", "clob", "data"))
                (folder / "agent.toml").write_text(
                    f'[sources.polymarket]\n{urls}\nsocket_url = "ws://127.0.0.1:{scene.port}"\nhistory = "trades"\n'
                )
                settings = agent_settings.load(folder)
                with open_database(settings) as database:
                    passes, source = Passes(settings, database), scene.source()
                    await passes.over(source)
                    async with Ears(source, passes.keep, passes.pace) as ears:
                        ears.follow()
                        await until(lambda: then(scene, ears))
                    await asyncio.sleep(1.1)  # replies count in whole seconds
                    passed = await passes.over(source)
                    assert passed.failed == {}
                    alone = Passes(settings, database)
                    await alone.over(quiet := scene.source("quiet"))
                assert rows_of(source, is_heard=True).is_empty()
                assert not rows_of(source, is_heard=False).is_empty()
                assert rows_of(source, is_heard=False).equals(rows_of(quiet, is_heard=False))
        return scene

    return asyncio.run(run())


def count_heard(scene: Scene) -> int:
    return rows_of(scene.source(), is_heard=True).height


async def ready(connection: ServerConnection) -> None:
    await connection.send(json.dumps([{"event_type": "book", "market": NAME}]))


def test_what_is_said_is_there_at_once_and_replaced_by_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def speaks(scene: Scene, connection: ServerConnection, token: str) -> None:
        await ready(connection)
        for number in range(3):
            await connection.send(scene.trade(token, 0.4 + number / 100))
        await connection.wait_closed()

    play(tmp_path, monkeypatch, speaks, lambda scene, _: count_heard(scene) == 3)


def test_a_message_that_comes_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def speaks(scene: Scene, connection: ServerConnection, token: str) -> None:
        await ready(connection)
        said = scene.trade(token)
        await connection.send(said)
        await connection.send(said)
        await connection.send(scene.trade(token))
        await connection.wait_closed()

    play(tmp_path, monkeypatch, speaks, lambda scene, _: count_heard(scene) == 2)


def test_closed_right_after_a_message_it_is_kept_and_the_gap_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def speaks(scene: Scene, connection: ServerConnection, token: str) -> None:
        await ready(connection)
        if len(scene.hellos) > 3:
            await connection.wait_closed()
        await connection.send(scene.trade(token))
        await connection.close()
        scene.trade(token)  # nobody hears this one

    play(
        tmp_path,
        monkeypatch,
        speaks,
        lambda scene, ears: count_heard(scene) == 3 and len(scene.hellos) > 3 and ears.wanted.is_set(),
    )


def test_a_connection_that_breaks_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def speaks(scene: Scene, connection: ServerConnection, token: str) -> None:
        await ready(connection)
        await connection.send(scene.trade(token))
        if len(scene.hellos) == 1:
            connection.transport.abort()
        await connection.wait_closed()

    play(tmp_path, monkeypatch, speaks, lambda scene, ears: len(scene.hellos) == 2 and ears.wanted.is_set())


def test_a_burst_needs_no_memory_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []
    flush = sockets.Ear._flush

    async def noted(ear: sockets.Ear) -> None:
        waiting.append(ear.rows)
        await flush(ear)

    monkeypatch.setattr(sockets.Ear, "_flush", noted)
    most, before = 200_000, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = []

    async def speaks(scene: Scene, connection: ServerConnection, token: str) -> None:
        await ready(connection)
        scene.trade(token)
        at = datetime.now(UTC)
        for number in range(0, most, 100):
            scene.number = number
            said = [json.loads(scene.message(token, at, 0.5)) for _ in range(1)] * 100
            await connection.send(json.dumps(said))
        done.append(True)
        await connection.wait_closed()

    play(tmp_path, monkeypatch, speaks, lambda scene, _: bool(done) and sum(waiting) >= most - sockets.FLUSH_ROWS, 5.0)
    assert max(waiting) <= sockets.FLUSH_ROWS + 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_what_cannot_be_written_now_is_left_to_replies_beyond_a_bound() -> None:
    ears: Any = type("Ears", (), {"wanted": asyncio.Event()})()
    ear = sockets.Ear(ears, None, Subscription("", (), (), 1.0))  # type: ignore[arg-type]
    ear._take([("one", "{}")] * (sockets.MOST_ROWS + 1000))
    assert ear.rows == len(ear.waiting["one"]) == sockets.MOST_ROWS
    assert ears.wanted.is_set()
