"""Any history of the files gives the ticks that a run from scratch gives."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.integration.ticks.mill import DATASETS, Mill, keys
from tests.paths import SHARED_DATA, needs_shared_data


def _pool() -> dict[str, tuple[str, list[list[str]]]]:
    """Folder -> header and real rows around a midnight, as text."""
    bars = []
    for pair in ("ETH_BTC", "ADA_BTC"):
        frame = pl.read_ipc(SHARED_DATA / "crypto-5m" / f"{pair}-5m.feather").slice(224, 10)  # 23:30 to 00:20
        bars += [
            [str(ts.isoformat()), pair, *map(repr, values)]
            for ts, *values in frame.select("date", "open", "high", "low", "close", "volume").iter_rows()
        ]
    trades = pl.read_parquet(SHARED_DATA / "crypto-trades" / "XRP_ETH-trades.parquet")
    late = trades.filter(pl.col("timestamp") >= 1_570_838_400_000)  # 2019-10-12
    few = pl.concat([trades.head(6), late.head(9)]).select("timestamp", "id", "side", "price", "amount")
    rows = [[str(value) for value in row] for row in few.iter_rows()]
    bare = [[row[0], *row[2:]] for row in rows]
    return {
        "bars": ("ts,market,open,high,low,close,volume", bars),
        "trades": ("ts,id,side,price,size", rows),
        "bare": ("ts,side,price,size", bare),
    }


PRICES = {"bars": (2, 3, 4, 5), "trades": (3,), "bare": (2,)}
FILES = ("a.csv", "b.csv", "c.csv")


@st.composite
def _edits(draw: st.DrawFn) -> list[list[tuple[Any, ...]]]:
    """Batches of edits: rows put anywhere into a file, corrected in place or by a later row, dropped, files removed."""
    place = st.integers(0, 30)
    edit = st.tuples(st.sampled_from(list(PRICES)), st.sampled_from(FILES)).flatmap(
        lambda at: st.one_of(
            st.tuples(st.just("put"), st.just(at), st.lists(place, min_size=1, max_size=6), place),
            st.tuples(st.just("scale"), st.just(at), place, st.sampled_from([0.5, 1.25, 2.0])),
            st.tuples(st.just("repeat"), st.just(at), place, st.sampled_from([1.0, 1.25])),
            st.tuples(st.just("drop"), st.just(at), place),
            st.tuples(st.just("clear"), st.just(at)),
            st.tuples(st.just("remove"), st.just(at)),
        )
    )
    batches: list[list[tuple[Any, ...]]] = draw(
        st.lists(st.lists(edit, min_size=1, max_size=5), min_size=1, max_size=4)
    )
    return batches


def _scaled(folder: str, row: list[str], factor: float) -> list[str]:
    return [repr(float(value) * factor) if n in PRICES[folder] else value for n, value in enumerate(row)]


def _apply(state: dict[tuple[str, str], list[list[str]]], pool: Mapping[str, Any], edit: tuple[Any, ...]) -> None:
    """One edit on the rows of the files, as far as there is something to edit."""
    kind, at, *more = edit
    folder, _ = at
    if kind == "put":
        chosen = [pool[folder][1][n % len(pool[folder][1])] for n in more[0]]
        rows = state.setdefault(at, [])
        where = more[1] % (len(rows) + 1)
        rows[where:where] = [list(row) for row in chosen]
    elif not state.get(at):
        return
    elif kind == "remove":
        if sum(other == folder for other, _ in state) > 1:
            del state[at]
    elif kind == "clear":
        state[at] = []
    elif kind == "drop":
        del state[at][more[0] % len(state[at])]
    elif kind == "scale":
        n = more[0] % len(state[at])
        state[at][n] = _scaled(folder, state[at][n], more[1])
    else:
        state[at].append(_scaled(folder, state[at][more[0] % len(state[at])], more[1]))


@needs_shared_data
@given(batches=_edits())
@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_of_the_files_gives_what_a_run_from_scratch_gives(
    batches: list[list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    pool = _pool()
    folder = tmp_path / "history"
    shutil.rmtree(folder, ignore_errors=True)
    mill = Mill(folder, DATASETS)
    state = {(name, "a.csv"): [list(row) for row in rows[:4]] for name, (_, rows) in pool.items()}
    written: dict[tuple[str, str], list[list[str]]] = {}
    for batch in [[], *batches]:
        for edit in batch:
            _apply(state, pool, edit)
        for at in written.keys() - state.keys():
            (mill.data / at[0] / at[1]).unlink()
        for at, rows in state.items():
            if written.get(at) != rows:
                mill.write("/".join(at), "\n".join([pool[at[0]][0], *(",".join(row) for row in rows)]) + "\n")
        written = {at: [list(row) for row in rows] for at, rows in state.items()}
        incremental = mill.run()
    mill.one_by_one = True  # each file by itself, where the history was read as it came
    scratch = mill.run(fresh=True)
    assert keys(incremental) == keys(scratch)
    for prefix in ("bars/", "trades/"):
        assert mill.table(incremental, prefix).equals(mill.table(scratch, prefix))
    assert incremental.version == scratch.version
