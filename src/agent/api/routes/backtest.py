"""The page of a release's backtest, with an address that lasts for each way of summing and each group of trades."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from agent.api import attributing
from agent.api.rendering import address, look_for_trader, missing, page, ref
from agent.api.server import ServerHere
from agent.errors import NotFound
from agent.execution.backtests import Sources, candles, find_sources, read_backtest
from agent.store.database.engine import Connections
from agent.store.outputs import projections, releases
from agent.store.outputs.releases import Release
from pipelines.errors import LakeError
from pipelines.evaluation import attribution
from pipelines.lake import Lake

if TYPE_CHECKING:
    import polars as pl

# Not strict: a browser's address may carry parameters of others (?utm_source=…).
router = APIRouter(include_in_schema=False, dependencies=[Depends(look_for_trader)])
Name = Annotated[str, Path(max_length=300)]
Asked = Annotated[str | None, Query(max_length=300)]


@router.get("/ui/backtest")
async def current_backtest(request: Request, server: ServerHere) -> Response:
    """The backtest of the release in force: its own address, or that there is none."""
    release = await server.read(lambda at: releases.current_release(at.project))
    if release is not None:
        return RedirectResponse(address(ref("release", release.name)) + "/backtest", 302)
    return page(request, server, "backtest.html", {"here": "/ui/backtest", "release": None})


@router.get("/ui/releases/{name}/backtest")
async def backtest(
    request: Request, server: ServerHere, name: Name, by: Asked = None, key: Asked = None, market: Asked = None
) -> Response:
    """Where the money of a release's backtest came from; `key`: one group's trades, `market`: on its candles."""
    choice = attributing.asked(by or "", key, market)

    def look(at: Connections) -> tuple[Release, Sources | None]:
        found = releases.load_release(at.project, name)
        return found, find_sources(at, found.versions.get("backtest", {}).get("snapshot_id"))

    try:
        release, sources = await server.read(look, is_long=True)
    except NotFound as error:
        return missing(request, server, error)
    lake = Lake(server.settings.lake_path)
    made = None if sources is None else await asyncio.to_thread(read_backtest, lake, sources)
    values: dict[str, Any] = {"here": "/ui/backtest", "release": release, "choice": choice, "made": made}
    if sources is None or made is None:
        return page(request, server, "backtest.html", values)
    total = release.metrics.get("backtest", {}).get("model", {}).get("total_return")
    values |= attributing.attributed(made, total, choice)
    rows = attributing.chosen_trades(made, choice)
    market_id = attributing.traded_market(rows, choice)
    shown = {row["market_id"] for row in values["trades"]} | {row[0] for row in values["groups"]} | {market_id or ""}

    def name_them(at: Connections) -> tuple[dict[str, str], bool]:
        facts = projections.load_market(at.project, market_id) if market_id else None
        known = projections.market_facts(at.project, shown)
        return {key: one.name for key, one in known.items()}, facts is not None and facts["kind"] == "binary"

    names, is_binary = await server.read(name_them, is_long=True)
    picture = await asyncio.to_thread(_picture, lake, sources, rows, market_id, is_binary)
    return page(request, server, "backtest.html", {**values, "names": names, "market": market_id, "picture": picture})


def _picture(lake: Lake, sources: Sources, rows: pl.DataFrame, market_id: str | None, is_binary: bool) -> Any:
    """The candles of a market around its trades; None where there are none, or gc took them."""
    if market_id is None or sources.features is None:
        return None
    mine = rows.filter(rows.get_column("market_id") == market_id)
    try:
        bars = candles(lake, sources.features, market_id, *attribution.around(mine), most=attributing.CANDLES)
    except LakeError:
        return None
    return attributing.picture(bars, attribution.marks(mine, is_binary=is_binary))
