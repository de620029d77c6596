"""How fast histories are collected, and how fast pages are read.

    python benchmarks/collect.py [--markets 2000] [--latency 0.05]

Collects from a venue on this machine that answers after LATENCY seconds, and compares with what the venue's limits and
the feed's concurrency allow: the larger of requests / limit and requests · latency / concurrency. The server is another
process. Then reads the pages again, as a run does.
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
    """Say where the venue is; answer until told to stop; say which paths were asked for."""
    with serving({"polymarket": venue(count)}) as server:
        server.delay = latency
        to.send(server.url("polymarket"))
        to.recv()
        to.send([one.path for one in server.asked("polymarket")])


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
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        urls = "\n".join(f'{name}_url = "{address}"' for name in ("gamma", "clob", "data"))
        (base / "agent.toml").write_text(f"[sources.polymarket]\n{urls}\nlimit = {options.markets}\n")
        began, cpu = time.monotonic(), time.process_time()
        assert agent(["--project-dir", folder, "collect", "--once"]) == 0
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        here.send("stop")
        asked = here.recv()
        server.join()
        source = remote_sources(agent_settings.load(base))["polymarket"]
        limits, prices = source.feed.LIMITS, [one for one in asked if one == "/prices-history"]
        lists = len(asked) - len(prices)
        allowed = max(len(prices) / limits.per_second["clob"], len(prices) * options.latency / limits.concurrency)
        allowed += max(lists / limits.per_second["gamma"], lists * options.latency)
        print(f"collected: {len(asked):,} requests in {seconds:.1f} s, {cpu:.1f} CPU seconds without the server's")
        print(f"allowed: {allowed:.1f} s by limits and concurrency: {allowed / seconds:.0%} of it reached")
        print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
        began = time.process_time()
        parts = [part for part in source.probe().parts if part.startswith("quotes/")]
        rows = sum(source.fetch(part).frame.height for part in parts)
        taken = time.process_time() - began
        size = sum(frame.header.size for frame in source.inbox.frames("quotes"))
        packed = sum(path.stat().st_size for path in base.rglob("*.log"))
        print(
            f"read: {rows:,} rows, {size / 1e6 / taken:.1f} MB/s of JSON, {rows / taken / 1e6:.2f} M rows/s of one core"
        )
        print(f"inbox: {packed / 1e6:.1f} MB for {size / 1e6:.1f} MB of prices")


if __name__ == "__main__":
    main()
