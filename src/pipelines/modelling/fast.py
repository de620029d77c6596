"""The simulation's loops compiled by numba, where the extra `fast` is installed and the history is long enough.

Compiled code is kept in a folder of the user's cache whose name is a hash of the code it was made from, for numba
itself looks at one file alone. Without numba, or for a short history, the same loops run interpreted and give the same.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pipelines import costs, decision, sizing
from pipelines.modelling import holding, kernel

FROM_ROWS = 300_000  # of a shorter history the compiler's start costs more than it saves
_SHARED = (
    costs.fill_price,
    costs.unit_fee,
    costs.unit_cost,
    decision.wanted_side,
    sizing.entry_notional,
)


class Loops(NamedTuple):
    """The two loops; compiled ones take arrays, interpreted ones are quicker with lists."""

    trade_signals: Callable[..., int]
    buy_and_hold: Callable[..., int]
    is_compiled: bool


INTERPRETED = Loops(kernel.trade_signals, holding.buy_and_hold, is_compiled=False)


def loops(rows: int) -> Loops:
    """The loops for a history of `rows` bars."""
    if rows < FROM_ROWS or importlib.util.find_spec("numba") is None:
        return INTERPRETED
    return compiled()


@cache
def compiled() -> Loops:
    """The loops as numba compiles them; the first call on a machine takes some seconds."""
    import numba
    from numba.extending import register_jitable

    # numba reads the folder when a function is decorated.
    vars(numba.config)["CACHE_DIR"] = str(_cache_folder())
    make_callable: Callable[[Any], Any] = register_jitable
    for function in (*_SHARED, *_functions(kernel), *_functions(holding)):
        make_callable(function)
    return Loops(
        numba.njit(kernel.trade_signals, cache=True), numba.njit(holding.buy_and_hold, cache=True), is_compiled=True
    )


def _functions(module: ModuleType) -> list[Callable[..., Any]]:
    loops_themselves = ("trade_signals", "buy_and_hold")
    own = (value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__)
    return [one for one in own if callable(one) and not isinstance(one, type) and one.__name__ not in loops_themselves]


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    hasher = hashlib.blake2b(digest_size=8)
    for module in (costs, decision, sizing, kernel, holding):
        assert module.__file__ is not None
        hasher.update(Path(module.__file__).read_bytes())
    return Path(base) / "tidemill" / "compiled" / hasher.hexdigest()
