"""How fast histories are collected, and how fast pages are read.

    python benchmarks/collect.py [--markets 2000] [--latency 0.05]

Collects from a venue on this machine that answers after LATENCY seconds, and compares with what the venue's limits and
the feed's concurrency allow: the larger of requests / limit and requests · latency / concurrency. The server is another
process. A tenth of the markets is collected first, to compare the memory with. Then reads the pages, as a run does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from agent import settings as agent_settings
from agent.cli.main import main as agent
from agent.collect.passing import remote_sources
from pipelines.inbox.collected import CollectedSource
from pipelines.testing.venue_replies import Market, PolymarketVenue, Trade
from pipelines.testing.venues import serving

HISTORY = timedelta(days=13)


def venue(count: int) -> PolymarketVenue:
    """`count` markets with a sample every ten minutes; all share their prices."""
    now = datetime.now(UTC).replace(microsecond=0)
    first, step = now - HISTORY, timedelta(minutes=10)
    trades = [Trade(first + n * step, 0.3 + n % 40 / 100) for n in range(int(HISTORY / step))]
    names = [f"0x{number + 17:064x}" for number in range(count)]
    opened = first - timedelta(hours=1)
    return PolymarketVenue({name: Market(name, trades, opened, now + HISTORY) for name in names})


def serve(count: int, latency: float, to: Connection) -> None:
    """Say where the venue is; say which paths were asked for since whenever it is told to; None: stop."""
    with serving({"polymarket": venue(count)}) as server:
        server.delay = latency
        to.send(server.url("polymarket"))
        while to.recv() is not None:
            to.send([one.path for one in server.asked("polymarket")])
            server.log.clear()


def collect(folder: Path, address: str, limit: int) -> tuple[float, float]:
    """Collect `limit` markets into `folder`; seconds, and CPU seconds of this process."""
    urls = "\n".join(f'{name}_url = "{address}"' for name in ("gamma", "clob", "data"))
    (folder / "agent.toml").write_text(f"[sources.polymarket]\n{urls}\nlimit = {limit}\n")
    began, cpu = time.monotonic(), time.process_time()
    assert agent(["--project-dir", str(folder), "collect", "--once"]) == 0
    return time.monotonic() - began, time.process_time() - cpu


def peak() -> float:
    """Most memory that this process had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--markets", type=int, default=2000)
    parser.add_argument("--latency", type=float, default=0.05)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(options.markets, options.latency, there))
    server.start()
    address = here.recv()
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        collect(Path(few), address, options.markets // 10)
        memory = peak()
        here.send("asked")
        here.recv()
        seconds, cpu = collect(Path(many), address, options.markets)
        here.send("asked")
        asked = here.recv()
        here.send(None)
        server.join()
        source = remote_sources(agent_settings.load(Path(many)))["polymarket"]
        limits, prices = source.feed.LIMITS, sum(one == "/prices-history" for one in asked)
        lists = len(asked) - prices
        allowed = max(prices / limits.per_second["clob"], prices * options.latency / limits.concurrency)
        allowed += max(lists / limits.per_second["gamma"], lists * options.latency)
        print(f"collected: {len(asked):,} requests in {seconds:.1f} s, {cpu:.1f} CPU seconds without the server's")
        print(f"allowed: {allowed:.1f} s by limits and concurrency: {allowed / seconds:.0%} of it reached")
        print(f"peak memory: {peak():.0f} MiB, {memory:.0f} MiB for a tenth of the markets")
        _read(source, Path(many))


def _read(source: CollectedSource, folder: Path) -> None:
    """Read all pages, as a run does that has read none before."""
    parts = [part for part in source.probe().parts if part.startswith("quotes/")]
    began, rows = time.process_time(), sum(source.fetch(part).frame.height for part in parts)
    taken = time.process_time() - began
    size = sum(frame.header.size for frame in source.inbox.frames("quotes"))
    packed = sum(path.stat().st_size for path in folder.rglob("*.log"))
    print(f"read: {rows:,} rows, {size / 1e6 / taken:.1f} MB/s of JSON, {rows / taken / 1e6:.2f} M rows/s of one core")
    print(f"inbox: {packed / 1e6:.1f} MB for {size / 1e6:.1f} MB of prices")


if __name__ == "__main__":
    main()
