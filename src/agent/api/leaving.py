"""Ends what a client waits for when the server is asked to stop: it gets an answer instead of a closed connection."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from agent.errors import Leaving

_T = TypeVar("_T")
_given_up: set[asyncio.Future[Any]] = set()  # asyncio itself keeps no strong reference


async def unless_leaving(leaving: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` returns or raises. Raises Leaving once the server is asked to stop; `work` then goes on until
    the server ends it."""
    doing, reported = asyncio.ensure_future(work), asyncio.ensure_future(leaving.wait())
    try:
        await asyncio.wait({doing, reported}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        reported.cancel()
    if doing.done():
        return doing.result()
    _given_up.add(doing)
    doing.add_done_callback(_forget)
    raise Leaving(
        "the server was asked to stop; a cycle that was being carried out is given up, and nothing of it is lost",
        where="server",
        fix="ask again once the server is back: the next run computes what is missing",
    )


def _forget(done: asyncio.Future[Any]) -> None:
    _given_up.discard(done)
    if not done.cancelled():
        done.exception()  # looked at, so that it is not reported as forgotten
