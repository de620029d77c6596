"""What published forecasts promised and what they kept."""

from __future__ import annotations

import sqlalchemy as sa

from agent.core.record import Promise
from agent.store.outputs.releases import current_release
from agent.store.published import predictions


def load_promise(conn: sa.Connection) -> Promise | None:
    """The promise of the current release, and what was kept on every prediction with an outcome, of superseded and
    refused publications too; None before the first outcome."""
    error = predictions.c.probability - predictions.c.outcome
    figures = sa.func.avg(error * error), sa.func.count(), sa.func.min(predictions.c.created_at)
    query = sa.select(*figures).where(predictions.c.outcome.is_not(None))
    kept, count, since = conn.execute(query).one()
    if not count:
        return None
    release = current_release(conn)
    return Promise(None if release is None else release.promised, float(kept), count, since)
