"""Changes of a trader asked for with a key: asked for again, the first answer is given and nothing is done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from agent.errors import Conflict
from agent.store.database.engine import insert
from agent.store.trading_tables import trading_requests

Row = dict[str, Any]


def once(conn: sa.Connection, key: str, what: str, now: datetime, do: Callable[[], Row]) -> tuple[Row, bool]:
    """The answer of `do`, and whether it was done now; where the key was used before, the answer of then.

    Its row is part of the caller's transaction: what fails may be asked for again. Raises Conflict where the key was
    used for something else.
    """
    c = trading_requests.c
    new = insert(conn, trading_requests).values(key=key, what=what, at=now, answer={})
    mine = conn.execute(new.on_conflict_do_nothing(index_elements=["key"]).returning(c.key)).one_or_none()
    if mine is None:
        before, answer = conn.execute(sa.select(c.what, c.answer).where(c.key == key)).one()
        if before != what:
            raise Conflict(
                f"the key was used for something else: {before}",
                where="Idempotency-Key",
                fix="send a key of its own with each change",
            )
        return answer, False
    answer = do()
    conn.execute(sa.update(trading_requests).where(c.key == key).values(answer=answer))
    return answer, True
