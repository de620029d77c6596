"""Trading bar by bar: the model's decisions, and buy-and-hold. Pure; columns in, columns out.

Both start with equity 1 and hold a state that can be written down between two pieces of a history: the state after one
piece is all that the next one needs, and where a history is cut changes nothing. What is known at a bar's end trades at
the open of the market's next bar. Short positions pay no borrowing fee; cash earns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.decision import Rules
from pipelines.modelling.fast import Loops, loops
from pipelines.modelling.kernel import Books, Closed, Closes, Curve, Markets, Opens
from pipelines.values import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

STRATEGIES = ("model", "buy_and_hold")
_FLOATS = ("quantity", "entry_price", "entry_fee", "entry_slippage", "entry_weight", "strength", "mark")
_WHOLE = tuple(name for name in Books._fields if name not in (*_FLOATS, "held", "sums", "counts"))
_FLOATS_OF_A_TRADE = ("quantity", "entry_price", "exit_price", "costs", "pnl", "weight")
Array = Any  # a NumPy array, or a list of the same numbers


@dataclass(frozen=True)
class Piece:
    """A stretch of history. names: of the markets, sorted; columns name them by their number in it.

    start: instant (microseconds) before which buy-and-hold does not buy.
    """

    names: Sequence[str]
    closes: Closes
    opens: Opens
    markets: Markets
    start: int


@dataclass(frozen=True)
class Segment:
    """What a piece led to: the curve of each strategy, the model's trades, and the state to go on from."""

    curves: Mapping[str, Curve]
    trades: Closed
    state: dict[str, Any]


def simulate(piece: Piece, state: Mapping[str, Any], rules: Rules, using: Loops | None = None) -> Segment:
    """Trade `piece` from `state` ({} at the start). `using`: compiled or interpreted loops; by the length, if unset."""
    import numpy as np

    engine = loops(len(piece.closes.at)) if using is None else using
    columns = (piece.closes, piece.opens, piece.markets)
    closes, opens, markets = columns if engine.is_compiled else (listed(one) for one in columns)
    instants = _instants(piece.closes.at)
    most_trades = _most_trades(piece, rules)
    count = len(piece.names)

    book = restored(state.get("model"), piece.names)
    curve, closed = empty_curve(instants), empty_trades(most_trades)
    candidates = np.zeros(count, dtype=np.int64)
    before = book if engine.is_compiled else listed(book)
    limits = (rules.allow_short, rules.max_positions, rules.weight)
    engine.trade_signals(closes, opens, markets, before, curve, closed, candidates, *limits)
    trades = int(before.counts[2])

    held = restored(state.get("buy_and_hold"), piece.names)
    held_curve = empty_curve(instants)
    then = held if engine.is_compiled else listed(held)
    scratch = (np.zeros(count, dtype=np.int64), np.zeros(count))
    engine.buy_and_hold(closes, opens, markets, then, held_curve, *scratch, piece.start)
    return Segment(
        curves={"model": curve, "buy_and_hold": held_curve},
        trades=Closed(*(column[:trades] for column in closed)),
        state={"model": _written(before, piece.names), "buy_and_hold": _written(then, piece.names)},
    )


def _most_trades(piece: Piece, rules: Rules) -> int:
    """No more positions can end than were open and than can begin: one a bar, and max_positions an instant."""
    slots = min(rules.max_positions, len(piece.names))
    return min(len(piece.opens.at), slots * _instants(piece.opens.at)) + slots


def _instants(at: npt.NDArray[np.int64]) -> int:
    """How many different instants a sorted column has."""
    import numpy as np

    return int(np.count_nonzero(at[1:] != at[:-1])) + (len(at) > 0)


def listed(columns: Any) -> Any:
    """The same columns as lists, which interpreted code reads several times as fast as arrays."""
    return type(columns)(*(column.tolist() for column in columns))


def empty_curve(rows: int) -> Curve:
    """A curve of so many rows, to be filled in."""
    import numpy as np

    return Curve(np.zeros(rows, dtype=np.int64), *(np.zeros(rows) for _ in Curve._fields[1:]))


def empty_trades(rows: int) -> Closed:
    """So many trades, to be filled in."""
    import numpy as np

    types = (np.float64 if name in _FLOATS_OF_A_TRADE else np.int64 for name in Closed._fields)
    return Closed(*(np.empty(rows, dtype=one) for one in types))


def restored(state: Mapping[str, Any] | None, names: Sequence[str]) -> Books:
    """The state that `_written` wrote; a new one, with cash 1, for None."""
    import numpy as np

    count = len(names)
    columns: dict[str, npt.NDArray[Any]] = {name: np.zeros(count) for name in _FLOATS}
    columns |= {name: np.zeros(count, dtype=np.int64) for name in (*_WHOLE, "held")}
    columns |= {"sums": np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), "counts": np.zeros(3, dtype=np.int64)}
    if state is not None:
        place = {name: number for number, name in enumerate(names)}
        here = [place[name] for name in state["markets"]]
        for name in (*_FLOATS, *_WHOLE):
            columns[name][here] = state[name]
        columns["held"][: len(state["held"])] = [place[name] for name in state["held"]]
        columns["sums"][:] = state["sums"]
        columns["counts"][:2] = [len(state["held"]), state["is_ruined"]]
    return Books(**columns)


def _written(book: Books, names: Sequence[str]) -> dict[str, Any]:
    """All that the next piece needs, as plain values; markets that were never seen are left out."""
    seen = [number for number, at in enumerate(book.marked_at) if at or book.order[number]]
    columns = {
        name: [(float if name in _FLOATS else int)(getattr(book, name)[number]) for number in seen]
        for name in (*_FLOATS, *_WHOLE)
    }
    return {
        "markets": [names[number] for number in seen],
        **columns,
        "held": [names[int(number)] for number in book.held[: int(book.counts[0])]],
        "sums": [float(value) for value in book.sums],
        "is_ruined": int(book.counts[1]),
    }
