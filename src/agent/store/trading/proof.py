"""All that a decision came from and what came of it, in one value: down to the release, the model and the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.errors import NotFound
from agent.store.ledger_tables import fills
from agent.store.outputs.projections import PREDICTS
from agent.store.outputs.releases import Release
from agent.store.published import predictions
from agent.store.tables import releases
from agent.store.trading import account, deciding
from agent.store.trading_tables import agents, decisions, opinions, order_approvals, order_events, orders, verdicts
from agent.version import VERSION

Row = dict[str, Any]


def proof_of(conn: sa.Connection, agent: Row, decision_id: str) -> Row:
    """The proof of a decision of `agent`, or of one of its account that was retired, as JSON has it. Raises NotFound.

    settings: those of that agent's newest start, with their hash. published: the forecast of its release that held at
    the quote's time, with its snapshot's versions in `release`. sha256: of all the rest, as JSON with sorted keys.
    """
    d = decisions.c
    of_account = sa.and_(agents.c.platform == agent["platform"], agents.c.account_ref == agent["account_ref"])
    its = sa.select(decisions).join(agents, agents.c.id == d.agent_id).where(d.decision_id == decision_id, of_account)
    found = conn.execute(its).mappings().one_or_none()
    if found is None:
        raise NotFound(f"there is no decision {decision_id}", where="decisions", fix="`agent decisions --json` has ids")
    sent = _rows(conn, orders, orders.c.decision_id == decision_id, (orders.c.leg,))
    ids = [one["client_order_id"] for one in sent]
    release = _release(conn, found["release_id"])
    row = account.load(conn, found["agent_id"])
    proof: Row = deciding.plain_json(
        {
            "program": VERSION,
            "decision": dict(found),
            "opinions": _rows(conn, opinions, opinions.c.decision_id == decision_id, (opinions.c.provider,)),
            "verdicts": _rows(conn, verdicts, verdicts.c.decision_id == decision_id, (verdicts.c.seq,)),
            "quote": {name: found[f"reference_{name}"] for name in ("bid", "ask", "mid")} | {"ts": found["as_of"]},
            "approvals": _rows(
                conn, order_approvals, order_approvals.c.decision_id == decision_id, (order_approvals.c.id,)
            ),
            "orders": sent,
            "order_events": _rows(
                conn,
                order_events,
                order_events.c.client_order_id.in_(ids),
                (order_events.c.client_order_id, order_events.c.seq),
            ),
            "fills": _rows(conn, fills, fills.c.client_order_id.in_(ids), (fills.c.ts, fills.c.platform_fill_id)),
            "settings": {"values": row["config"], "sha256": row["config_hash"]},
            "release": None if release is None else asdict(release),
            "published": _published(conn, found["market_id"], release, found["as_of"]),
        }
    )
    return proof | {"sha256": digest_of(proof)}


def digest_of(proof: Row) -> str:
    """What the proof's `sha256` must be: of all of it but that."""
    rest = {name: value for name, value in proof.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _rows(conn: sa.Connection, table: sa.Table, here: Any, by: Iterable[Any]) -> list[Row]:
    return [dict(row) for row in conn.execute(sa.select(table).where(here).order_by(*by)).mappings()]


def _release(conn: sa.Connection, release_id: int | None) -> Release | None:
    """The release that the decision was made with; None where it was made with none that has a row."""
    found = conn.execute(sa.select(releases).where(releases.c.id == release_id)).mappings().one_or_none()
    return None if found is None else Release(**found)


def _published(conn: sa.Connection, market: str, release: Release | None, as_of: datetime) -> Row | None:
    """The newest forecast of the market by then, among those that the release had."""
    made = None if release is None else release.versions.get(PREDICTS)
    if made is None:
        return None
    p = predictions.c
    here = sa.and_(p.market_id == market, p.snapshot_id <= made["snapshot_id"], p.ts <= as_of)
    newest = sa.select(predictions).where(here).order_by(p.ts.desc(), p.id.desc()).limit(1)
    found = conn.execute(newest).mappings().one_or_none()
    return None if found is None else dict(found)
