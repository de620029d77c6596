"""Four components that compute in milliseconds: readings -> sums -> totals -> bulletin (a release).

Files beside agent.toml change how they behave: `broken` lets totals fail, `slow` lets it take until the file is gone.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from pipelines.component import Context, component
from pipelines.settings import setting


@dataclass(frozen=True)
class Settings:
    """[totals]"""

    factor: int = setting(1, "multiplies", low=1)


@component(reads_sources=True, heavy=False, name="readings")
def take_readings(ctx: Context, settings: Any) -> None:
    """A partition a file."""
    source: Any = ctx.sources["tide"]
    for part in sorted(source.probe().parts):
        ctx.write_bytes(part, source.read(part))


@component(upstream=("readings",), name="sums")
def add_up(ctx: Context, settings: Any) -> None:
    """The sum of each partition; unchanged ones are carried over."""
    readings = ctx.inputs["readings"]
    for number, key in enumerate(readings.keys):
        if key in readings.changed or not ctx.carry(key):
            ctx.write_bytes(key, str(sum(map(int, readings.read_bytes(key).split()))).encode())
        ctx.progress(number + 1, len(readings.keys), key)


@component(upstream=("sums",), heavy=False, name="totals", settings=Settings)
def total(ctx: Context, settings: Settings) -> None:
    """The sums, times `factor`."""
    sums = ctx.inputs["sums"]
    while (ctx.base / "slow").exists():
        ctx.progress(0, 1, "slow")
        time.sleep(0.01)
    if (ctx.base / "broken").exists():
        raise ValueError("totals is broken")
    ctx.write_bytes(
        "all/total.json", json.dumps({key: settings.factor * int(sums.read_bytes(key)) for key in sums.keys}).encode()
    )


def look_over(ctx: Context, settings: Any) -> None:
    """The gate of the bulletin."""
    if not json.loads(ctx.inputs["totals"].read_bytes("all/total.json")):
        raise ValueError("there is nothing to print")


@component(upstream=("totals",), heavy=False, is_release=True, gate=look_over, name="bulletin")
def print_bulletin(ctx: Context, settings: Any) -> None:
    """What people read: a release."""
    totals = json.loads(ctx.inputs["totals"].read_bytes("all/total.json"))
    ctx.write_bytes("bulletin.txt", "\n".join(f"{key}: {value}" for key, value in totals.items()).encode())
    ctx.write_bytes("metrics.json", json.dumps({"total": sum(totals.values())}).encode())
    ctx.write_bytes("days/count.txt", str(len(totals)).encode())
