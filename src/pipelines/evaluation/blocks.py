"""Blocks: rows whose outcomes are not independent count as one piece of evidence.

Neighbouring rows share most of their horizon, and markets move together. So a block is the event of a binary market,
and of all other rows a stretch of time across all markets: one day, or twice the horizon where that is longer. Whatever
is asked of resampled blocks is asked of their sums, so a draw costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

DAY = 86_400_000_000  # microseconds
HORIZONS = 2  # a block is at least so many horizons long: a label's window then touches two blocks at most


def block_length(horizon: int) -> int:
    """Length of a block in time, microseconds: the larger of one day and twice the `horizon` (microseconds)."""
    return max(DAY, HORIZONS * horizon)


def time_blocks(ts: Integers, horizon: int) -> Integers:
    """The number of each row's stretch of time since 1970. `ts` and `horizon` in microseconds."""
    blocks: Integers = ts // block_length(horizon)
    return blocks


def numbered(ts: Integers, horizon: int, events: Sequence[str | None]) -> Integers:
    """Blocks 0, 1, 2 … of rows: one per event where a row has one, else one per stretch of time.

    `events` names the event of a binary market's row, None for any other row.
    """
    import numpy as np

    names = np.asarray([one or "" for one in events], dtype=object)
    _, event = np.unique(names, return_inverse=True)
    stretch = time_blocks(ts, horizon)
    has_event = names != ""
    keys = np.column_stack([has_event, np.where(has_event, event, stretch)])
    _, number = np.unique(keys, axis=0, return_inverse=True)
    return number.reshape(-1).astype(np.int64)


def block_sums(blocks: Integers, values: Floats, number: int = 0) -> Floats:
    """Sum of `values` in each block 0 … max(blocks), at least `number` of them."""
    import numpy as np

    sums = np.bincount(blocks, weights=values, minlength=number)
    return sums.astype(np.float64)


def present(blocks: Integers) -> Integers:
    """`blocks` numbered again without those that have no row: 0 … number of blocks - 1."""
    import numpy as np

    _, number = np.unique(blocks, return_inverse=True)
    return number.reshape(-1).astype(np.int64)
