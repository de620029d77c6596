"""What a person asks each morning, answered from what was published and what became of it. Pure.

Rows in, figures out, then sentences: the pages of the server and of the dashboard show the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from itertools import accumulate

from agent.core.answers import Ref
from agent.core.explain import cause
from agent.core.model import Code, Reason
from agent.core.release_diff import Change, change_text
from pipelines.values import dataclass

SIDES = {"buy": 1, "sell": -1}
_MOVED = 0.0005  # a probability that changes by less looks the same on the page
# What follows from another component's change, or from none.
_FOLLOWS = frozenset({Code.INPUT_CHANGED, Code.FAILED})


@dataclass(frozen=True)
class Decided:
    """A published decision about one market, and what became of it. `name`: its question or symbol. threshold,
    distance, reason: as in the table predictions. outcome, realized_return: None while unknown."""

    market_id: str
    name: str
    ts: datetime
    probability: float
    action: str | None = None
    threshold: float | None = None
    distance: float | None = None
    reason: str | None = None
    outcome: int | None = None
    realized_return: float | None = None

    @property
    def is_entry(self) -> bool:
        return self.action in SIDES

    @property
    def ref(self) -> Ref:
        """Its market."""
        return Ref("market", self.market_id, self.name)


@dataclass(frozen=True)
class Fresh:
    """How old the release in force is. age_seconds: of its newest tick; None where its data ended long ago and their
    end is the present, or where that is not known."""

    release: str
    data_to: datetime | None
    released_at: datetime
    age_seconds: float | None
    is_historical: bool
    assessment: str | None
    promise: str | None


@dataclass(frozen=True)
class Since:
    """What is different from the release before: its causes in words, markets, and decisions, those whose action
    changed first. before: the name of that release; None where there is none."""

    before: str | None
    causes: tuple[str, ...] = ()
    new: tuple[Ref, ...] = ()
    gone: tuple[Ref, ...] = ()
    moved: tuple[tuple[Decided, Decided], ...] = ()


@dataclass(frozen=True)
class Ready:
    """What to enter now, and the others, those nearest to an entry first."""

    entries: tuple[Decided, ...]
    nearest: tuple[Decided, ...]


@dataclass(frozen=True)
class Outcomes:
    """What became of the decisions of one day (UTC). count: those with an outcome; right: how many
    turned out right (see is_right); base_right: how many would have, had each said what the base rate
    says; brier, base_brier: mean (probability - outcome)², of the forecasts and of the base rate. base_rate: how often
    the model saw its outcome come true on out-of-fold rows; None where it is not on record, with what rests on it."""

    day: date
    count: int
    right: int
    brier: float
    base_rate: float | None
    base_right: int | None
    base_brier: float | None


@dataclass(frozen=True)
class Gains:
    """Settled entries: how many, how many of them gained, and the sum of their gains in fractions of equity; the same
    sum over those whose horizon ended in the last 24 hours and in the last 7 days, and how many those were."""

    entered: int = 0
    gained: int = 0
    total: float = 0.0
    last_day: float = 0.0
    last_week: float = 0.0
    entered_last_day: int = 0
    entered_last_week: int = 0


@dataclass(frozen=True)
class Money:
    """What following every published entry gained, before costs; curve: its sum after each day (UTC) on which a horizon
    ended. best, worst: the markets with the largest and the smallest sums."""

    gains: Gains
    curve: tuple[float, ...]
    best: tuple[tuple[Ref, float], ...]
    worst: tuple[tuple[Ref, float], ...]


@dataclass(frozen=True)
class Morning:
    """All of it. today: in UTC; of historical data the day of their end. outcomes: None where nothing was settled yet;
    waiting: decisions without outcome, of that day and later."""

    today: date
    fresh: Fresh
    since: Since
    ready: Ready
    outcomes: Outcomes | None
    waiting: int
    money: Money


def causes_of(recorded: Iterable[tuple[str, Sequence[Reason]]], changes: Sequence[Change]) -> tuple[str, ...]:
    """Why a release differs from the one before: first causes as the attempts between them `recorded` them, component
    by component; where none is on record any more, what `changes` says of the two."""
    found = [
        f"{component} ran because {cause(component, reason)}"
        for component, reasons in recorded
        for reason in reasons
        if reason.code not in _FOLLOWS and not _is_unset(reason)
    ]
    if not found:
        found = [change_text(one) for one in changes if one.is_own]
    if not found and changes:
        found = ["new data"]
    return tuple(dict.fromkeys(found))


def _is_unset(reason: Reason) -> bool:
    """Whether it is a setting that came with others of its table and has no value."""
    of_one = reason.code == Code.SETTINGS_CHANGED and bool(reason.subject)
    return of_one and reason.old in (None, "null") and reason.new in (None, "null")


def since(before: str | None, causes: Sequence[str], old: Mapping[str, Decided], new: Mapping[str, Decided]) -> Since:
    """What is different from release `before`; `old` and `new` are its decisions and the present ones by market."""
    if before is None:
        return Since(None)
    pairs = [(old[market], one) for market, one in new.items() if market in old]
    moved = [(then, now) for then, now in pairs if _has_moved(then, now)]
    moved.sort(key=lambda pair: (pair[0].action == pair[1].action, -abs(_change(*pair)), pair[1].market_id))
    return Since(
        before,
        tuple(causes),
        tuple(one.ref for market, one in new.items() if market not in old),
        tuple(one.ref for market, one in old.items() if market not in new),
        tuple(moved),
    )


def _has_moved(then: Decided, now: Decided) -> bool:
    return then.action != now.action or abs(_change(then, now)) >= _MOVED


def _change(then: Decided, now: Decided) -> float:
    return now.probability - then.probability


def ready(decisions: Sequence[Decided]) -> Ready:
    """Entries in the order given; of the rest those nearest to one, or furthest beyond it and held, first. A market
    that no probability would enter is not among them."""
    near = [one for one in decisions if not one.is_entry and one.distance is not None]
    near.sort(key=lambda one: (-(one.distance or 0.0), one.market_id))
    return Ready(tuple(one for one in decisions if one.is_entry), tuple(near))


def is_right(one: Decided) -> bool:
    """Whether a settled decision turned out right: a purchase after which the price rose beyond cost, a sale after
    which it fell, a hold after which it did not rise beyond cost."""
    if one.action == "sell":
        return (one.realized_return or 0.0) < 0
    return (one.outcome == 1) == (one.action == "buy")


def outcomes(day: date, settled: Sequence[Decided], base_rate: float | None) -> Outcomes | None:
    """What became of the decisions of `day`; None where none of them is settled."""
    if not settled:
        return None
    known = [(one.probability, one.outcome or 0) for one in settled]
    count, rose = len(known), sum(outcome for _, outcome in known)
    return Outcomes(
        day=day,
        count=count,
        right=sum(map(is_right, settled)),
        brier=sum((probability - outcome) ** 2 for probability, outcome in known) / count,
        base_rate=base_rate,
        base_right=(rose if base_rate > 0.5 else count - rose) if base_rate is not None else None,
        base_brier=sum((base_rate - outcome) ** 2 for _, outcome in known) / count if base_rate is not None else None,
    )


def money(days: Sequence[Gains], by_market: Sequence[tuple[Ref, float]]) -> Money:
    """The sums over `days`, which are in order, and the markets at both ends of `by_market`, up to three each."""
    curve = tuple(accumulate((one.total for one in days), initial=0.0))
    ranked = sorted(by_market, key=lambda pair: (-pair[1], pair[0].key))
    return Money(
        gains=Gains(**{one.name: sum(getattr(day, one.name) for day in days) for one in fields(Gains)}),
        curve=curve if days else (),
        best=tuple(pair for pair in ranked if pair[1] > 0)[:3],
        worst=tuple(pair for pair in reversed(ranked) if pair[1] < 0)[:3],
    )
