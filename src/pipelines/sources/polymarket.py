"""Polymarket: markets with their outcomes, price samples, and trades. No account is needed.

APIs: Gamma (markets and events), CLOB (prices, who won) and Data (trades), https://docs.polymarket.com. A market is a
condition with a token per outcome; all tokens are one book, so the prices of one outcome are collected: of Yes, or of
the first where none is called so. A price of another outcome of two is turned round, 1 − p.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipelines.data.venues.known_fields import (
    POLYMARKET_BOOK,
    POLYMARKET_CLOB_MARKET,
    POLYMARKET_MARKET,
    POLYMARKET_TRADE,
)
from pipelines.data.venues.polymarket import collected_side, is_first, list_in, markets_in, winner_of
from pipelines.data.venues.polymarket_socket import PolymarketSocket
from pipelines.feed import FeedSettings, Limits, NotThisStream, Page, Parsed, Refused, Request, Retry, Stream, TooLong
from pipelines.inbox.rows import (
    EPOCHS,
    BadRow,
    PassedOver,
    Row,
    columns_of,
    decode,
    epoch,
    from_epoch,
    number,
    oldest,
    optional_instant,
    optional_number,
    optional_text,
    parse_rows,
    real,
    require_answer,
    rows_in,
    samples_of,
    sequence,
    text,
)
from pipelines.settings import setting
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_SPAN = timedelta(days=15)  # the longest that one request for prices may ask about
_PAGE = 100  # markets of a page, and trades
_TRADES = 500
_MOST_OFFSET = 10_000  # of trades
_MOST_PAGES = 50  # of a list in which markets are searched
_BY_NAME = 100  # markets that are asked for by name at once


@dataclass(frozen=True)
class Settings(FeedSettings):
    """Settings of `[sources.polymarket]`."""

    query: str = setting("", "take open markets whose question has all these words")
    events: tuple[str, ...] = setting((), "take all markets of these events, by the last part of their address")
    markets: tuple[str, ...] = setting((), "take these markets, by the last part of their address or condition id")
    limit: int = setting(50, "collect prices of so many open markets at most, the most traded ones", low=1)
    history: Literal["prices", "trades"] = setting(
        "prices", "what to collect of each market: samples of its price, or each trade (the newest 10 000)"
    )
    fidelity_minutes: int = setting(10, "how far apart samples of the price are", unit="minutes", low=1)
    gamma_url: str = setting("https://gamma-api.polymarket.com", "where markets are listed", counts=False)
    clob_url: str = setting("https://clob.polymarket.com", "where prices are", counts=False)
    data_url: str = setting("https://data-api.polymarket.com", "where trades are", counts=False)
    socket_url: str = setting("wss://ws-subscriptions-clob.polymarket.com", "where prices are heard", counts=False)


class PolymarketFeed:
    """What Polymarket says of its markets. Prices of an event's outcomes need not add up to 1: one may be hidden."""

    name: ClassVar[str] = "polymarket"
    LIMITS: ClassVar[Limits] = Limits({"gamma": 25.0, "clob": 90.0, "data": 18.0}, concurrency=16)
    SECRETS: ClassVar[tuple[str, ...]] = ()
    SOCKET: ClassVar = PolymarketSocket
    RESUMES: ClassVar[bool] = True  # by offset: what came since only moves the older ones further

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    # --- asking -------------------------------------------------------------------------------------------------

    def streams(self, universe: pl.DataFrame) -> Iterable[Stream]:
        """The list of markets; those that left it and of which the end is not known; and each market's prices."""
        import polars as pl

        yield Stream("list", "markets")
        unsettled = universe.filter(pl.col("status").is_in(["closed", "unlisted"]))
        if not unsettled.is_empty():
            ids = unsettled.get_column("external_id").to_list()
            closed = unsettled.filter(pl.col("status") == "closed").get_column("external_id").to_list()
            yield Stream("by name", "markets", members=(*ids, *(f"clob:{one}" for one in closed)))
        is_trades = self._settings.history == "trades"
        followed = universe.filter(pl.col("handle").is_not_null())
        is_open = followed.get_column("status") == "open"
        ranked = followed.filter(is_open).sort("volume", descending=True, nulls_last=True).head(self._settings.limit)
        minutes = self._settings.fidelity_minutes
        for row in pl.concat([ranked, followed.filter(~is_open)]).iter_rows(named=True):
            key, until = f"{row['external_id']}/{row['handle']}", row["resolved_at"]
            if is_trades:
                yield Stream(key, "trades", timedelta(seconds=60), row["opened_at"], until)
            else:
                yield Stream(f"{key}/{minutes}", "quotes", timedelta(minutes=2 * minutes), row["opened_at"], until)

    def next_request(self, stream: Stream, cursor: str) -> Request | None:
        """The next page of markets, of prices (newest span first) or of trades (newest first)."""
        if stream.kind == "markets":
            return self._ask_markets(stream, cursor)
        assert stream.since is not None
        assert stream.until is not None
        market, token, minutes = _parts(stream)
        if stream.kind == "trades":
            page = (("market", market), ("limit", str(_TRADES)), ("offset", cursor or "0"))
            return Request(f"{self._settings.data_url}/trades", page, path_class="data")
        high = epoch(int(cursor)) if cursor else stream.until
        low = max(stream.since, high - _SPAN)
        span = (("startTs", str(int(low.timestamp()))), ("endTs", str(int(high.timestamp()))))
        params = (("market", token), *span, ("fidelity", minutes))
        return Request(f"{self._settings.clob_url}/prices-history", params, path_class="clob")

    def _ask_markets(self, stream: Stream, cursor: str) -> Request | None:
        """A cursor has the number of the question, how many pages it had and markets it found, and the venue's own."""
        asked = self._questions(stream)
        at, pages, found, place = (cursor or "0|0|0|").split("|", 3)
        if int(at) >= len(asked):
            return None
        path, params = asked[int(at)]
        note = f"{at}/{len(asked)}/{pages}/{found}"
        if path.startswith("/markets/0x"):
            return Request(f"{self._settings.clob_url}{path}", path_class="clob", note=note)
        if place.startswith("offset:"):  # where the venue has no keyset pages
            path, params = path.removesuffix("/keyset"), (*params, ("offset", place.removeprefix("offset:")))
        elif place:
            params = (*params, ("after_cursor", place))
        return Request(
            f"{self._settings.gamma_url}{path}", (("limit", str(_PAGE)), *params), path_class="gamma", note=note
        )

    def _questions(self, stream: Stream) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        """Path and parameters of all that a list of markets asks, one after the other."""
        settings = self._settings
        markets, events = "/markets/keyset", "/events/keyset"
        if stream.members:
            names = [one for one in stream.members if not one.startswith("clob:")]
            groups = [names[at : at + _BY_NAME] for at in range(0, len(names), _BY_NAME)]
            by_name = [
                (markets, (("closed", closed), *(("condition_ids", one) for one in group)))
                for group in groups
                for closed in ("true", "false")
            ]
            clob = [one.removeprefix("clob:") for one in stream.members if one.startswith("clob:")]
            return [*by_name, *((f"/markets/{one}", ()) for one in clob)]
        asked: list[tuple[str, tuple[tuple[str, str], ...]]] = [(events, (("slug", one),)) for one in settings.events]
        asked += [(markets, (("condition_ids" if one.startswith("0x") else "slug", one),)) for one in settings.markets]
        if settings.query or not asked:
            asked.append((markets, (("closed", "false"), ("order", "volumeNum"), ("ascending", "false"))))
        return asked

    def page(self, stream: Stream, request: Request, status: int, headers: Mapping[str, str], body: bytes) -> Page:
        """A page of markets, prices or trades."""
        if status == 404 and "/keyset" in request.url:
            at, _, pages, found = request.note.split("/")
            raise NotThisStream("the venue has no pages by key", instead=f"{at}|{pages}|{found}|offset:0")
        if status == 400 and stream.kind == "quotes" and b"too long" in body.lower():
            raise TooLong("the venue refuses so long a span")
        if status == 404 and stream.kind == "quotes":
            raise Retry("the venue has no prices of the market yet")
        require_answer(status, body)
        if stream.kind == "markets":
            return self._page_of_markets(request, decode(body), body)
        assert stream.since is not None
        if stream.kind == "trades":
            return _page_of_trades(stream, request, _rows(decode(body)), body)
        asked = dict(request.params)
        low, high = epoch(int(asked["startTs"])), epoch(int(asked["endTs"]))
        is_last = low <= stream.since + timedelta(seconds=1)
        return Page(body, "" if is_last else str(int(low.timestamp())), low, high, is_last)

    def _page_of_markets(self, request: Request, reply: Any, body: bytes) -> Page:
        at, count, pages, found = (int(one) for one in request.note.split("/"))
        rows = markets_in(reply)
        kept = found + sum(self._is_wanted(row) for row in rows)
        place = reply.get("next_cursor") if isinstance(reply, Mapping) else None
        if isinstance(reply, list) and len(reply) == _PAGE:
            place = f"offset:{int(dict(request.params).get('offset', '0')) + _PAGE}"
        is_search = "ascending" in dict(request.params)
        is_enough = is_search and (kept >= self._settings.limit or pages + 1 >= _MOST_PAGES)
        if place and place != "LTE=" and rows and not is_enough:
            return Page(body, f"{at}|{pages + 1}|{kept}|{place}", None, None, is_last=False)
        is_last = at + 1 == count
        return Page(body, "" if is_last else f"{at + 1}|0|0|", None, None, is_last)

    # --- reading ------------------------------------------------------------------------------------------------

    def parse(self, stream: Stream, body: bytes) -> Parsed:
        """The markets or ticks of a reply."""
        market, token, _ = _parts(stream)
        if stream.kind == "quotes" and (samples := self._samples(market, body)) is not None:
            return samples
        reply = decode(body)
        if stream.kind == "markets":
            rows = [row for row in markets_in(reply) if self._is_wanted(row)]
            is_clob = any(isinstance(row, Mapping) and "condition_id" in row for row in rows)
            if is_clob:
                return parse_rows("markets", rows, POLYMARKET_CLOB_MARKET, self._clob_market)
            return parse_rows("markets", rows, POLYMARKET_MARKET, self._market)
        if stream.kind == "trades":
            return parse_rows("ticks", _rows(reply), POLYMARKET_TRADE, lambda row: self._trade(row, market, token))
        if isinstance(reply, Mapping) and "bids" in reply:
            return parse_rows("ticks", [reply], POLYMARKET_BOOK, self._book)
        known, rows = {"market_id": f"{self.name}:{market}", "seq": 0}, rows_in(reply, "history")
        return parse_rows(
            "ticks", rows, ("t", "p"), lambda row: {**known, "ts": from_epoch(row, "t"), "price": real(row, "p")}
        )

    def _samples(self, market: str, body: bytes) -> Parsed | None:
        """Samples of a price at once; None where one of them may be wrong."""
        import polars as pl

        rows = columns_of(body, "history", {"t": pl.Int64(), "p": pl.Float64()})
        if rows is None:
            return None
        times = rows.get_column("t")
        if not EPOCHS[0] <= times.min() <= times.max() <= EPOCHS[1]:  # type: ignore[operator]  # there are some
            return None
        instants = (times * 1_000_000).cast(pl.Datetime("us", "UTC"))
        return samples_of(f"{self.name}:{market}", instants, rows.get_column("p"))

    def wants(self, stream: Stream) -> bool:
        """Samples and trades are all true, however far apart."""
        return stream.kind == "markets" or (stream.kind == "trades") == (self._settings.history == "trades")

    def recognise(self, body: bytes) -> Stream | str:
        """What a saved reply is: the stream that it could be of, or why it is none that is collected."""
        reply = decode(body)
        rows = reply if isinstance(reply, list) else markets_in(reply) if isinstance(reply, Mapping) else []
        first = rows[0] if rows and isinstance(rows[0], Mapping) else {}
        if isinstance(reply, Mapping) and "history" in reply:
            return Stream("UNKNOWN/0/1", "quotes")
        if isinstance(reply, Mapping) and {"bids", "asks", "market"} <= reply.keys() and "event_type" not in reply:
            return Stream(f"{reply['market']}/{reply.get('asset_id', '')}/1", "quotes")
        if {"transactionHash", "conditionId"} <= first.keys():
            return Stream("/", "trades")
        if "markets" in first or ({"conditionId"} <= first.keys() and "proxyWallet" not in first):
            return Stream("list", "markets")
        if "tokens" in first and "condition_id" in first:
            return Stream("list", "markets")
        return "not collected: neither markets nor prices, or prices of one moment"

    def _is_wanted(self, row: Any) -> bool:
        words = self._settings.query.lower().split()
        question = str(row.get("question", "")).lower() if isinstance(row, Mapping) else ""
        return all(word in question for word in words)

    def _market(self, row: Row) -> Mapping[str, Any]:
        if row.keys() == {"conditionId"}:
            raise PassedOver("it only names a market")
        condition = text(row, "conditionId")
        outcomes, tokens = list_in(row, "outcomes"), list_in(row, "clobTokenIds")
        side = collected_side(outcomes)
        is_closed = bool(row.get("closed"))
        winner = winner_of(row) if is_closed else None
        events = row.get("events") or [{}]
        event = events[0].get("id") if isinstance(events, list) and isinstance(events[0], Mapping) else None
        return {
            **self._of_market(condition, optional_text(row, "slug"), text(row, "question"), is_closed, winner, side),
            "end_at": optional_instant(row, "endDate"),
            "resolved_at": None if winner is None else optional_instant(row, "closedTime"),
            "tick_size": _float(row, "orderPriceMinTickSize"),
            "volume": _float(row, "volumeNum", "volume"),
            "liquidity": _float(row, "liquidityNum", "liquidity"),
            "event_id": None if event is None else str(event),
            "handle": str(tokens[side]) if side < len(tokens) else None,
            "opened_at": optional_instant(row, "startDate") or optional_instant(row, "createdAt"),
        }

    def _clob_market(self, row: Row) -> Mapping[str, Any]:
        """CLOB says who won, and when nowhere: it is known from when it was asked."""
        if row.get("condition_id") == "" and row.get("archived") is True:
            raise PassedOver("it was archived before it became a market")
        condition, tokens = text(row, "condition_id"), row.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(one, Mapping) for one in tokens):
            raise BadRow("tokens is no list of objects")
        side = collected_side([str(one.get("outcome")) for one in tokens])
        is_closed = bool(row.get("closed"))
        won = [at for at, one in enumerate(tokens) if one.get("winner") is True]
        winner = won[0] if is_closed and len(won) == 1 else None
        found = self._of_market(
            condition, optional_text(row, "market_slug"), optional_text(row, "question"), is_closed, winner, side
        )
        if is_closed and row.get("is_50_50_outcome") is True and not won:
            found |= {"resolution": 0.5, "status": "resolved"}
        return {
            **found,
            "end_at": optional_instant(row, "end_date_iso"),
            "tick_size": _float(row, "minimum_tick_size"),
            "handle": (optional_text(tokens[side], "token_id") if side < len(tokens) else None),
        }

    def _of_market(
        self, condition: str, slug: str | None, question: str | None, is_closed: bool, winner: int | None, side: int
    ) -> dict[str, Any]:
        return {
            "market_id": f"{self.name}:{condition}",
            "source": self.name,
            "external_id": condition,
            "symbol": slug,
            "question": question,
            "kind": "binary",
            "quote_currency": "USDC",
            "status": "open" if not is_closed else "closed" if winner is None else "resolved",
            "resolution": None if winner is None else float(winner == side),
        }

    def _trade(self, row: Row, market: str, token: str) -> Mapping[str, Any]:
        condition = text(row, "conditionId")
        if market and condition != market:
            raise BadRow(f"conditionId is {condition!r}, not {market!r}")
        price, size, side = real(row, "price"), real(row, "size"), text(row, "side").upper()
        if side not in ("BUY", "SELL"):
            raise BadRow(f"side is {side!r}, neither BUY nor SELL")
        is_ours = text(row, "asset") == token if token else is_first(row)
        identity = (row[name] for name in ("transactionHash", "asset", "side", "price", "size"))
        return {
            "market_id": f"{self.name}:{condition}",
            "ts": from_epoch(row, "timestamp"),
            "seq": sequence(text(row, "transactionHash"), *map(str, identity), str(row.get("proxyWallet"))),
            "price": price if is_ours else float(1 - number(row, "price")),
            "size": size,
            "side": "buy" if (side == "BUY") == is_ours else "sell",
        }

    def _book(self, row: Row) -> Mapping[str, Any]:
        bids, asks = ([number(one, "price") for one in row.get(side) or ()] for side in ("bids", "asks"))
        if not bids or not asks:
            raise PassedOver("one side of the book is empty")
        bid, ask = max(bids), min(asks)
        return {
            "market_id": f"{self.name}:{text(row, 'market')}",
            "ts": epoch(number(row, "timestamp") / 1000, "timestamp"),
            "seq": 1,
            "price": float((bid + ask) / 2),
            "bid": float(bid),
            "ask": float(ask),
        }


def _parts(stream: Stream) -> tuple[str, str, str]:
    """Condition, token and minutes between samples of a stream of prices."""
    market, token, minutes = (*stream.key.split("/"), "", "")[:3]
    return market, token, minutes


def _page_of_trades(stream: Stream, request: Request, rows: Sequence[Any], body: bytes) -> Page:
    assert stream.since is not None
    low = oldest(rows, lambda row: from_epoch(row, "timestamp")) or stream.since
    offset = int(dict(request.params)["offset"]) + len(rows)
    if len(rows) < _TRADES or low <= stream.since:
        return Page(body, "", stream.since, stream.until, is_last=True)
    is_last = offset >= _MOST_OFFSET  # what is older cannot be asked for
    return Page(body, "" if is_last else str(offset), low, stream.until, is_last)


def _rows(reply: Any) -> list[Any]:
    if not isinstance(reply, list):
        raise Refused("the reply is no list of trades")
    return reply


def _float(row: Row, *names: str) -> float | None:
    found = next((value for name in names if (value := optional_number(row, name)) is not None), None)
    return None if found is None else float(found)


FEED = PolymarketFeed
