"""Half an hour as it is lived: bars of ten seconds that end now, a run every ten seconds, one venue down for a while.

    python benchmarks/hour.py [--minutes 30] [--down 10:15] [--keep FOLDER]

Eight pairs of ../shared/data/crypto-5m, their bars declared as bars of ten seconds that end now: four as OANDA gives
bars, four as Binance gives trades, both by a server on this machine. Nobody's clock is faked. A scheduler collects and
releases every ten seconds; from one minute to another Binance hangs, and then answers 503. Fails where fewer than 95 %
of the releases come within one bar of the end of their newest bar, where the venue that answers is not fresh meanwhile
or the other not marked, where its gap is not filled afterwards, where what the runs added up to differs from one
computation from nothing, or where what was known at an instant differs from what was computed at it, in one byte.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent import orchestrator
from agent.execution.workspace import open_workspace
from agent.store import collecting
from agent.store.collecting import StreamRow
from agent.store.control import runs
from agent.store.outputs import catalog, releases
from agent.store.outputs.releases import Release
from pipelines.as_known import project_as_known
from pipelines.lake import Lake
from pipelines.plugins.ordering import in_order
from pipelines.project import compute
from pipelines.snapshot import Snapshot
from pipelines.testing.exchange_replies import ExchangeVenue
from pipelines.testing.venue_replies import OandaVenue
from pipelines.testing.venues import Fault, serving
from tests.paths import SHARED_DATA
from tests.processes import environment
from tests.shared_prices import crypto

BAR = timedelta(seconds=10)
HISTORY = timedelta(hours=9)  # folds need eight
OF_OANDA = ("DASH_BTC", "ETC_BTC", "LTC_BTC", "ETH_BTC")
OF_BINANCE = ("ADA_BTC", "NXT_BTC", "TRX_BTC", "XLM_BTC")
READ = ("markets", "ticks", "features")  # what is computed from sources alone
SECRETS = {"OANDA_TOKEN": "secret", "OANDA_ACCOUNT": "001"}
SETTINGS = """
[sources.oanda]
url = "{oanda}"
instruments = [{instruments}]
granularity = "S10"
history_days = {days}
[sources.exchange]
proxy_url = "{exchange}"
venues = ["binance"]
symbols = [{symbols}]
history = "trades"
history_days = {days}
[features]
interval = 10
[executor]
kind = "inline"
[model]
kind = "logistic"
retrain = "rows"
[publish]
max_brier_excess = 1.0
[collect]
before_runs_seconds = 5.0
"""


@dataclass(frozen=True)
class Down:
    """From when to when a venue does not answer."""

    start: datetime
    end: datetime

    def fault(self, _number: int) -> Fault | None:
        """What strikes a request now: for the first fifth of it the venue hangs, then it refuses."""
        now = datetime.now(UTC)
        if not self.start <= now < self.end:
            return None
        return "drip" if now < self.start + (self.end - self.start) / 5 else "503"


def serve(until: datetime, to: Connection) -> None:
    """Say where the venues are, be down when told, answer until told to stop."""
    step, count = BAR, int((HISTORY + (until - datetime.now(UTC))) / BAR) + 200
    instruments = {name.replace("-", "_"): one for name, one in crypto(until, step, count, OF_OANDA).items()}
    oanda = OandaVenue(instruments, half_spread=1e-7, digits=8)
    exchange = ExchangeVenue(crypto(until, step, count, OF_BINANCE))
    with serving({"oanda": oanda, "exchange": exchange}) as server:
        to.send((server.url("oanda"), server.url("exchange")))
        while isinstance(told := to.recv(), Down):
            server.faults["exchange"] = told.fault


def next_bar(now: datetime) -> datetime:
    """When the bar that runs at `now` ends."""
    seconds = BAR.total_seconds()
    return datetime.fromtimestamp((now.timestamp() // seconds + 1) * seconds, UTC)


def scheduler(folder: Path) -> subprocess.Popen[bytes]:
    """A scheduler in `folder`, begun about when a bar ends: it runs at once, and then every ten seconds."""
    time.sleep((next_bar(datetime.now(UTC)) - datetime.now(UTC)).total_seconds())
    arguments = ["-m", "agent.orchestrator", "--mode", "scheduled", "--interval-sec", str(BAR.total_seconds())]
    with (folder / "scheduler.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment(**SECRETS), stdout=log, stderr=log
        )


def streams(folder: Path) -> list[StreamRow]:
    """What is known of each stream."""
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        return collecting.load_streams(connections.project)


def released(folder: Path) -> list[Release]:
    """All releases, oldest first."""
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        return releases.list_releases(connections.project, limit=100_000)[::-1]


def newest_bar(folder: Path, release: Release) -> dict[str, datetime]:
    """Source -> end of the newest bar that the release predicts from."""
    with open_workspace(folder) as workspace:
        predictions = pl.read_parquet(workspace.settings.releases_path / release.name / "predictions.parquet")
    source = pl.col("market_id").str.split(":").list.first().alias("source")
    return dict(predictions.group_by(source).agg(pl.col("ts").max()).iter_rows())


@dataclass
class Lived:
    """What was seen while it went on. known_at: an instant at which the inbox was copied."""

    was_marked: bool = False
    known_at: datetime | None = None


def live(folder: Path, process: subprocess.Popen[bytes], until: datetime, down: Down, copy: Path) -> Lived:
    """Look on until it is over. The inbox is copied once, after a release, while nothing is collected."""
    seen, lived = len(released(folder)), Lived()
    half = datetime.now(UTC) + (until - datetime.now(UTC)) / 2
    while datetime.now(UTC) < until:
        time.sleep(0.5)
        assert process.poll() is None, (folder / "scheduler.log").read_text()[-3000:]
        if lived.known_at is None and datetime.now(UTC) > half:
            count = len(released(folder))
            if count > seen and seen:
                lived.known_at = datetime.now(UTC)
                shutil.copytree(folder / ".tidemill" / "inbox", copy)
            seen = count
        elif not lived.was_marked and down.start + BAR < datetime.now(UTC) < down.end:
            lived.was_marked = any(one.last_error for one in streams(folder) if one.source == "exchange")
    return lived


def main() -> None:
    """Live it, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--down", default="1:2", help="minutes from and to which a venue is down, such as 10:15")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    options = parser.parse_args()
    if not SHARED_DATA.is_dir():
        print(f"left out: the real market data is not here: {SHARED_DATA} does not exist")
        return
    os.environ |= SECRETS
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "project"
        folder.mkdir(parents=True)
        here, there = multiprocessing.Pipe()
        until = next_bar(datetime.now(UTC)) + timedelta(minutes=options.minutes + 10)
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(until, there))
        server.start()
        try:
            _hour(folder, Path(scratch), here, timedelta(minutes=options.minutes), options.down)
        finally:
            here.send("stop")
            server.join()


def _hour(folder: Path, scratch: Path, server: Connection, lasting: timedelta, down_at: str) -> None:
    oanda, exchange = server.recv()
    names = {
        "instruments": ", ".join(f'"{one}"' for one in OF_OANDA),
        "symbols": ", ".join(f'"{one.replace("_", "/")}"' for one in OF_BINANCE),
        "days": HISTORY / timedelta(days=1),
    }
    (folder / "agent.toml").write_text(SETTINGS.format(oanda=oanda, exchange=exchange, **names))
    began = time.monotonic()
    _python(folder, "-m", "agent", "collect", "--once")
    _python(folder, "-m", "agent", "run")
    print(f"history and first release: {time.monotonic() - began:.1f} s", flush=True)
    process = scheduler(folder)
    began_at = datetime.now(UTC)
    first, last = (timedelta(minutes=float(one)) for one in down_at.split(":"))
    down = Down(began_at + first, began_at + last)
    server.send(down)
    try:
        lived = live(folder, process, began_at + lasting, down, scratch / "then")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    _report(folder, began_at, down, lived)
    _require_same_from_nothing(folder, scratch / "nothing")
    _require_as_known(folder, scratch, lived)
    print("all held")


def _python(folder: Path, *arguments: str) -> None:
    """Run a program of ours in `folder`, as a person does."""
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(**SECRETS), capture_output=True, text=True
    )
    assert ended.returncode == 0, f"{arguments}: {ended.stdout[-1000:]}{ended.stderr[-3000:]}"


def _report(folder: Path, began: datetime, down: Down, lived: Lived) -> None:
    found = [one for one in released(folder) if one.created_at > began + BAR]
    bars = {one.name: newest_bar(folder, one) for one in found}
    lags = [(one.created_at - max(bars[one.name].values())).total_seconds() for one in found]
    kept = sum(one <= BAR.total_seconds() for one in lags)
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        passed = [
            one
            for one in runs.list_runs(connections.control, limit=100_000)
            if one.started_at and one.started_at > began
        ]
    lasted = sorted(
        (one.finished_at - one.started_at).total_seconds() for one in passed if one.finished_at and one.started_at
    )
    print(f"runs: {Counter(one.status for one in passed)}, {median(lasted):.1f} s each, the longest {lasted[-1]:.1f} s")
    print(
        f"releases: {len(found)}, {kept / len(lags):.1%} within one bar of their data; median {median(lags):.1f} s, "
        f"95 of 100 within {sorted(lags)[int(0.95 * (len(lags) - 1))]:.1f} s, the longest {max(lags):.1f} s"
    )
    during = [one for one in found if down.start + BAR < one.created_at < down.end]
    ages = [(one.created_at - bars[one.name]["oanda"]).total_seconds() for one in during]
    print(
        f"while one venue was down: {len(during)} releases, the other's bars at most {max(ages, default=0):.1f} s old"
    )
    expected = (down.end - down.start) / BAR
    assert len(during) > 0.8 * expected, f"{len(during)} releases came while a venue was down, of {expected:.0f} runs"
    assert max(ages) < 3 * BAR.total_seconds(), "the venue that answers is not fresh"
    assert lived.was_marked, "the venue that was down was never marked"
    rows = streams(folder)
    gaps = [
        one.stream
        for one in rows
        if one.kind != "markets" and (one.holes or one.covered_to is None or one.covered_to < down.end)
    ]
    assert not gaps, f"the gap was not filled: {gaps}"
    assert kept >= 0.95 * len(lags), "too few releases came within one bar of their data"


def _recorded(folder: Path) -> dict[str, Snapshot]:
    with open_workspace(folder) as workspace, workspace.database.reading() as connections:
        found = {name: catalog.latest_snapshot_id(connections.project, name) for name in READ}
        return {name: catalog.load_snapshot(connections.project, one) for name, one in found.items() if one is not None}


def _require_same_from_nothing(folder: Path, scratch: Path) -> None:
    orchestrator.run_once(folder, targets=("features",))  # a person's: it collects nothing
    recorded = _recorded(folder)
    with open_workspace(folder) as workspace:
        project, made = workspace.project, dict[str, Snapshot]()
        for name in in_order({name: project.components[name].upstream for name in READ}):
            made[name] = compute(project, project.components[name], made, lake=Lake(scratch), attempt="nothing")
    for name in READ:
        assert made[name].version == recorded[name].version, f"{name} differs from what is computed from nothing"
    print("incremental = from nothing: " + ", ".join(f"{name} {made[name].version[:8]}" for name in READ))


def _require_as_known(folder: Path, scratch: Path, lived: Lived) -> None:
    """What was known at an instant, computed now, is what was computed at it, and what its inbox alone gives."""
    at = lived.known_at
    assert at is not None, "there was no release to go back to"
    then = next(one for one in reversed(released(folder)) if one.created_at <= at)
    with open_workspace(folder) as workspace:
        project, made = project_as_known(workspace.project, at), dict[str, Snapshot]()
        for name in in_order({name: project.components[name].upstream for name in READ}):
            made[name] = compute(project, project.components[name], made, lake=Lake(scratch / "known"), attempt="known")
    for name in READ:
        assert made[name].version == then.versions[name]["version"], f"{name} as known at {at} differs from that run's"
    copy = scratch / "copy"
    (copy / ".tidemill").mkdir(parents=True)
    (scratch / "then").rename(copy / ".tidemill" / "inbox")
    shutil.copyfile(folder / "agent.toml", copy / "agent.toml")
    _python(folder, "-m", "pipelines.run_all", "--out", str(scratch / "prefix"), "--as-known-at", at.isoformat())
    _python(copy, "-m", "pipelines.run_all", "--out", str(scratch / "alone"))
    prefix, alone = (_bytes_below(scratch / name) for name in ("prefix", "alone"))
    assert prefix.keys() == alone.keys(), sorted(prefix.keys() ^ alone.keys())
    differ = [name for name in prefix if prefix[name] != alone[name]]
    assert not differ, f"they differ in {differ}"
    print(f"as known at {at:%H:%M:%S}: as run {then.run_id} computed it, and {len(prefix)} files byte for byte")


def _bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


if __name__ == "__main__":
    main()
