"""The pages of one thing each, with an address that lasts: a release, two of them compared, a market, a component."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from agent.api.comparing import compared, markets_of
from agent.api.rendering import address, look_for_trader, missing, page, ref
from agent.api.routes.runs import RunId
from agent.api.server import Server, ServerHere
from agent.api.shown import SIGNED, component_look, component_looks, grid_values, with_names, without_secrets
from agent.core.explain import causes_text
from agent.core.grid import evidence_rows
from agent.core.record import promise_text
from agent.core.release_diff import strategy_rows
from agent.core.try_grid import table_of
from agent.errors import NotFound
from agent.execution.backtests import find_backtests, read_pair
from agent.execution.story import step_of
from agent.execution.tries.comparing import Against, load_against
from agent.execution.tries.grids import load_cells
from agent.service.failing import load_failures
from agent.service.projects import DEFAULT_PROJECT
from agent.store import state
from agent.store.control import attempts, runs
from agent.store.control.runs import FINAL
from agent.store.database.engine import Connections
from agent.store.lineage import load_origins, load_outputs
from agent.store.outputs import projections, promises, releases, tries
from agent.store.outputs.releases import Release
from pipelines.lake import Lake
from pipelines.modelling.annual import FROM_A_YEAR, is_short
from pipelines.modelling.metrics import chance_text

# Not strict: a browser's address may carry parameters of others (?utm_source=…).
router = APIRouter(include_in_schema=False, dependencies=[Depends(look_for_trader)])
_STRATEGIES = ("model", "buy_and_hold")
_RELEASES, _DECISIONS, _ATTEMPTS, _OUTPUTS, _GRIDS = 50, 500, 50, 8, 8
Name = Annotated[str, Path(max_length=300)]
Asked = Annotated[str, Query(max_length=300)]


@router.get("/ui/release")
async def current_release(request: Request, server: ServerHere) -> Response:
    """The release in force: its own address, or that there is none."""
    release = await server.read(lambda at: releases.current_release(at.project))
    if release is not None:
        return RedirectResponse(address(ref("release", release.name)), 302)
    return page(request, server, "release.html", {"here": "/ui/release", "release": None})


@router.get("/ui/releases/{name}")
async def release(request: Request, server: ServerHere, name: Name) -> Response:
    """A release: what it is made from, its figures, what it decided, and the others to compare it with."""

    def look(at: Connections) -> dict[str, Any]:
        found = releases.load_release(at.project, name)
        kept = promises.load_promise(at.project) if found.is_current else None
        return {
            "release": found,
            "metrics": _metrics(at, found),
            "kept": "" if kept is None else promise_text(kept),
            "others": [one for one in releases.list_releases(at.project, _RELEASES) if one.name != name],
            "grids": tries.grids(at.project)[:_GRIDS],
            "signals": with_names(at, projections.decisions_of(at.project, found, _DECISIONS)),
        }

    try:
        values = await server.read(look, is_long=True)
    except NotFound as error:
        return missing(request, server, error)
    metrics = values.pop("metrics")
    strategies = {name: metrics[name] for name in _STRATEGIES if name in metrics}
    shown = {
        "here": "/ui/release",
        "folder": str(server.settings.releases_path / name),
        "strategies": strategies,
        "figures": strategy_rows(strategies),
        "annual": FROM_A_YEAR if is_short(metrics.get("model", {})) else "",
        "chance": chance_text(metrics.get("random_entry", {})),
    }
    return page(request, server, "release.html", shown | values)


@router.get("/ui/compare")
async def compare(request: Request, server: ServerHere, before: Asked, after: Asked) -> Response:
    """Two releases, or a try and a release: what changed and why, then the figures of both."""
    lake = Lake(server.settings.lake_path)

    def look(at: Connections) -> tuple[Against, Any]:
        found = load_against(at, lake, before, after)
        return found, find_backtests(at, found.comparison.backtests)

    try:
        found, backtests = await server.read(look, is_long=True)
    except NotFound as error:
        return missing(request, server, error)
    read = partial(read_pair, lake)
    pair = None if backtests is None else await asyncio.to_thread(read, backtests)
    markets = markets_of(pair)
    names = await server.read(lambda at: projections.market_facts(at.project, markets)) if markets else {}
    values = {"here": "/ui/release", **compared(found, pair, names)}
    return page(request, server, "compare.html", values)


@router.get("/ui/tries/{name}")
async def try_grid(request: Request, server: ServerHere, name: Name, sort: Asked = "", down: bool = False) -> Response:
    """A grid of tries as a table, sorted by a column."""
    lake = Lake(server.settings.lake_path)
    try:
        cells = await server.read(lambda at: load_cells(at, lake, name), is_long=True)
    except NotFound as error:
        return missing(request, server, error)
    found = table_of(cells).sorted_by(sort, is_descending=down)
    done = sum(cell.status == "COMPLETED" for cell in cells)
    values = {"here": "/ui/release", "name": name, "found": found, "sort": sort, "down": down, "done": done}
    return page(request, server, "try_grid.html", values)


@router.get("/ui/markets/{market_id:path}")
async def market(request: Request, server: ServerHere, market_id: Name) -> Response:
    """A market: its facts, and everything that was ever decided about it."""

    def look(at: Connections) -> dict[str, Any]:
        facts = projections.load_market(at.project, market_id)
        rows = with_names(at, projections.predictions_of(at.project, market_id, _DECISIONS))
        if facts is None and not rows:
            raise NotFound(
                f"there is no market {market_id!r}",
                where="markets",
                fix="the first page lists those of the current release",
            )
        name = rows[0]["name"] if rows else facts["question"] or facts["symbol"] or market_id if facts else market_id
        return {"market_id": market_id, "name": name, "facts": facts, "rows": rows}

    return await _place(request, server, "market.html", look, "/")


@router.get("/ui/components/{name}")
async def component(request: Request, server: ServerHere, name: Name) -> Response:
    """A component: how it stands and why, its outputs and where they came from, its attempts."""
    now = server.now()
    found = await server.foreseen()

    def look(at: Connections) -> dict[str, Any]:
        row = state.load_states(at.project, [name]).get(name)
        if row is None:
            raise NotFound(f"there is no component {name!r}", where="components", fix="the first page lists them")
        tried = attempts.of_component(at.control, DEFAULT_PROJECT, name, _ATTEMPTS)
        outputs = load_outputs(at, name, _OUTPUTS)
        timed = [one.seconds for one in reversed(tried) if one.status == "succeeded" and one.seconds is not None]
        return {
            "one": component_look(name, row, found, now),
            "why_not_known": found.why_not,
            "sentences": found.sentences.get(name, ()),
            "broken": load_failures(at, {name: row}, DEFAULT_PROJECT, now),
            "attempts": tried,
            "seconds": timed,
            "outputs": outputs,
            "origins": load_origins(at, outputs[0]) if outputs else [],
            "causes_text": causes_text,
        }

    return await _place(request, server, "component.html", look, "/")


@router.get("/ui/components")
async def components(request: Request, server: ServerHere) -> Response:
    """The table of components alone."""
    found, now = await server.foreseen(), server.now()
    return page(request, server, "components.html", await server.read(lambda at: component_looks(at, found, now)))


@router.get("/ui/grid")
async def grid(request: Request, server: ServerHere) -> Response:
    """The grid of components and runs alone."""
    return page(request, server, "grid.html", await server.read(grid_values))


@router.get("/ui/runs/{run_id}/components/{name}")
async def step(request: Request, server: ServerHere, run_id: RunId, name: Name) -> Response:
    """What happened to a component in a run: why, with the evidence, and what came of it."""

    def look(at: Connections) -> dict[str, Any]:
        found = step_of(at, run_id, name)
        traceback = found.attempt.traceback if found.attempt else None
        return {
            "step": found,
            "evidence": evidence_rows(found.reasons),
            "traceback": without_secrets(at, traceback or ""),
            "is_final": runs.load_run(at.control, run_id).status in FINAL,
            **SIGNED,
        }

    return await _place(request, server, "step.html", look, "/ui/runs")


async def _place(request: Request, server: Server, template: str, look: Any, here: str) -> Response:
    try:
        values = await server.read(look, is_long=True)
    except NotFound as error:
        return missing(request, server, error)
    return page(request, server, template, {"here": here, **values})


def _metrics(at: Connections, release: Release) -> Mapping[str, Mapping[str, float | None]]:
    """Strategy -> metric -> value, of the release's own backtest; empty where it is no longer on record."""
    made = release.versions.get("backtest")
    try:
        found = projections.backtest_run(at.project, made["snapshot_id"]) if made else {"metrics": {}}
    except NotFound:
        return {}
    metrics: Mapping[str, Mapping[str, float | None]] = found["metrics"]
    return metrics
