"""A small client of the venue in `testing.venue`: the contract of `agent.trading.platform` over HTTP.

Nothing is ever sent twice by itself, no reply is believed that is not whole, and each request has an end.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote as quoted
from urllib.parse import urlsplit

from agent.amounts import parsed, plain
from agent.clock import Clock
from agent.trading.model import Fill, Instrument, Key, Movement, Order, Quote
from agent.trading.platform import Accepted, Capabilities, Refused, Submitted, Unclear, Unreachable
from agent.trading.reconcile.facts import Holding, PlatformOrder, Snapshot

_REFUSALS = frozenset({400, 401, 403, 422, 429})  # nothing was placed; every other failure is unclear
_JSON = {"Content-Type": "application/json"}


class VenuePlatform:
    """The account of a venue. seconds: how long a whole request may take."""

    name = "venue"

    def __init__(
        self,
        url: str,
        clock: Clock,
        instrument: Callable[[str], Instrument],
        *,
        seconds: float = 10.0,
        is_authoritative: bool = True,
        deduplicates: bool = False,
        dust: Decimal = Decimal(0),
        account_ref: str = "main",
    ) -> None:
        host = urlsplit(url)
        assert host.hostname is not None, url
        assert host.port is not None, url
        self._host, self._port = host.hostname, host.port
        self._clock, self._instrument, self.seconds = clock, instrument, seconds
        self.account_ref = account_ref
        self.capabilities = Capabilities(deduplicates=deduplicates, is_authoritative=is_authoritative, dust=dust)

    def instrument(self, market_id: str) -> Instrument:
        """What is known of a market."""
        return self._instrument(market_id)

    def quote(self, market_id: str) -> Quote | None:
        """What the market shows now. Raises Unreachable."""
        said = self._read(f"/quotes/{quoted(market_id, safe='')}")
        if said is None:
            return None
        at = datetime.fromisoformat(said["ts"])
        bid, ask = parsed(said["bid"]), parsed(said["ask"])
        return Quote(market_id=market_id, ts=at, bid=bid, ask=ask, is_open=said["is_open"])

    def submit(self, order: Order) -> Submitted:
        """Send an order, once. What goes wrong after the first byte is unclear."""
        asked = {
            "client_order_id": order.client_order_id,
            "market": order.market_id,
            "outcome": order.outcome,
            "side": order.side,
            "type": order.type,
            "quantity": plain(order.quantity),
            "limit_price": None if order.limit_price is None else plain(order.limit_price),
        }
        connection = self._connection()
        try:
            connection.connect()
        except OSError as error:
            return Refused("not_sent", f"no connection: {error}")
        try:
            status, said = self._exchange(connection, "POST", "/orders", json.dumps(asked).encode())
        except (OSError, HTTPException, ValueError) as error:
            return Unclear(f"{type(error).__name__}: {error}")
        finally:
            connection.close()
        if status == 200 and said.get("client_order_id") == order.client_order_id and "order_id" in said:
            return Accepted(str(said["order_id"]))
        if status in _REFUSALS and "code" in said:
            return Refused(str(said["code"]), str(said.get("text", "")))
        return Unclear(f"status {status}: {json.dumps(said)[:200]}")

    def cancel(self, client_order_id: str) -> bool:
        """Whether it rests no longer; False where nobody knows."""
        try:
            status, _ = self._ask("DELETE", f"/orders/{client_order_id}")
        except Unreachable:
            return False
        return status in (200, 409)

    def order(self, client_order_id: str) -> PlatformOrder | None:
        """An order by its client id. Raises Unreachable."""
        said = self._read(f"/orders/{client_order_id}")
        return None if said is None else _order(said)

    def fills(self, since: datetime | None) -> Sequence[Fill]:
        """Executions, the oldest first, each once. Raises Unreachable."""
        where = f"/fills{_since(since)}"
        found = {one["fill_id"]: _fill(one) for one in self._rows(where)}
        return sorted(found.values(), key=lambda one: (one.ts, one.fill_id))

    def movements(self, since: datetime | None) -> Sequence[Movement]:
        """Deposits and withdrawals. Raises Unreachable."""
        return [_movement(one) for one in self._account(since)["movements"]]

    def snapshot(self, asked: Collection[str], since: datetime | None) -> Snapshot:
        """All at once. What changed while it was read, was cut short or failed makes it incomplete."""
        at = self._clock.now()
        try:
            account = self._account(since)
            listed = {one["order_id"]: _order(one) for one in self._rows("/orders")}
            for its in sorted(asked):
                one = self.order(its)
                if one is not None:
                    listed[one.platform_order_id] = one
            fills = self.fills(since)
            holdings = {
                (one["market"], one["outcome"]): Holding(parsed(one["quantity"])) for one in self._rows("/positions")
            }
            mids, silent = self._mids(holdings)
            if self.fills(since) != fills or self._account(since) != account:
                return Snapshot(at=at, holdings=None, is_complete=False)
        except Unreachable:
            return Snapshot(at=at, holdings=None, is_complete=False)
        return Snapshot(
            at=at,
            orders=tuple(listed.values()),
            asked=frozenset(asked),
            fills=tuple(fills),
            movements=tuple(_movement(one) for one in account["movements"]),
            holdings=holdings,
            cash=parsed(account["cash"]),
            mids=mids,
            silent=silent,
            has_old_fills=since is None or at - since >= timedelta(days=30),
        )

    # --- inside --------------------------------------------------------------------------------------------------

    def _mids(self, held: Collection[Key]) -> tuple[dict[Key, Decimal], frozenset[str]]:
        """Mids, and the markets that are silent: one of those makes nothing unknown of the account."""
        found, silent = {}, set()
        for market, outcome in held:
            try:
                quote = self.quote(market)
            except Unreachable:
                silent.add(market)
                continue
            mid = None if quote is None else (quote.no if outcome == "no" else quote).mid
            if mid is not None:
                found[market, outcome] = mid
        return found, frozenset(silent)

    def _account(self, since: datetime | None) -> dict[str, Any]:
        said = self._read(f"/account{_since(since)}")
        if said is None:
            raise _unreachable("/account", "it is not there")
        return said

    def _rows(self, path: str) -> list[dict[str, Any]]:
        said = self._read(path)
        if said is None or len(said["rows"]) < said["total"]:
            raise _unreachable(path, "the list is cut short")
        rows: list[dict[str, Any]] = said["rows"]
        return rows

    def _read(self, path: str) -> dict[str, Any] | None:
        """What a question is answered with; None where the venue says that there is no such thing."""
        status, said = self._ask("GET", path)
        if status == 404 and "code" in said:
            return None
        if status != 200:
            raise _unreachable(path, f"status {status}: {said.get('code')}")
        return said

    def _ask(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        connection = self._connection()
        try:
            connection.connect()
            return self._exchange(connection, method, path, b"")
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(path, f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        return HTTPConnection(self._host, self._port, timeout=self.seconds)

    def _exchange(self, connection: HTTPConnection, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Send a request and read its whole reply. Raises OSError, HTTPException and ValueError."""
        ends = time.monotonic() + self.seconds
        if method == "POST":
            connection.putrequest(method, path)
            for name, value in {**_JSON, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders(body[: len(body) // 2])
            sys.audit("tidemill.point", "venue.bytes_half")
            connection.send(body[len(body) // 2 :])
            sys.audit("tidemill.point", "venue.bytes_whole")
        else:
            connection.request(method, path)
        reply = connection.getresponse()
        if method == "POST":
            sys.audit("tidemill.point", "venue.reply_half")
        data = b""
        while more := reply.read1(1 << 16):
            data += more
            if time.monotonic() > ends:
                raise TimeoutError(f"no whole reply within {self.seconds:g} s")
        said = json.loads(data)
        if not isinstance(said, dict):
            raise ValueError("the reply is no object")
        return reply.status, said


def _since(moment: datetime | None) -> str:
    return "" if moment is None else f"?since={quoted(moment.isoformat())}"


def _unreachable(path: str, why: str) -> Unreachable:
    return Unreachable(f"the venue cannot be read: {why}", where=path, fix="it is asked again by itself")


def _order(said: dict[str, Any]) -> PlatformOrder:
    return PlatformOrder(
        client_order_id=said["client_order_id"],
        platform_order_id=said["order_id"],
        market_id=said["market"],
        outcome=said["outcome"],
        side=said["side"],
        quantity=parsed(said["quantity"]),
        filled=parsed(said["filled"]),
        status=said["status"],
        average=None if said["average"] is None else parsed(said["average"]),
        limit_price=None if said["limit_price"] is None else parsed(said["limit_price"]),
    )


def _fill(said: dict[str, Any]) -> Fill:
    return Fill(
        fill_id=said["fill_id"],
        market_id=said["market"],
        outcome=said["outcome"],
        side=said["side"],
        quantity=parsed(said["quantity"]),
        price=parsed(said["price"]),
        fee=parsed(said["fee"]),
        ts=datetime.fromisoformat(said["ts"]),
        client_order_id=said["client_order_id"],
    )


def _movement(said: dict[str, Any]) -> Movement:
    at = datetime.fromisoformat(said["ts"])
    return Movement(
        external_id=said["id"], kind=said["kind"], amount=parsed(said["amount"]), ts=at, reason=said["kind"]
    )
