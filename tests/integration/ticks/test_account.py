"""The account of rows: every row of every file is somewhere, and what is odd is said with the file's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.components.ticks import Settings
from pipelines.data.tick_parts.account import Account, accounts, warnings
from pipelines.data.tick_parts.memo import MEMO_KEY, load
from pipelines.errors import BadInput
from tests.examples import examples
from tests.integration.ticks.mill import DATASETS, Mill, bar, csv

BAD = "2020-01-02T00:00:00Z,A,2,1,3,2,7"  # high below low


def account(mill: Mill) -> dict[str, Account]:
    assert mill.ticks is not None
    records = load(mill.lake.read_bytes(mill.ticks.by_key[MEMO_KEY]), None)
    assert records is not None
    return {one.part: one for one in accounts(records)}


def counts(one: Account) -> tuple[int, ...]:
    return (one.read, one.kept, one.replaced, one.repeated, one.filtered, one.running, one.quarantined)


def test_every_row_is_somewhere(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [{**DATASETS[0], "where": {"market": ["A", "B"]}}], on_bad_rows="quarantine")
    mill.write("bars/1.csv", csv(bar(1), bar(2), bar(2, price=3.0), bar(3), bar(1, "C"), BAD))
    mill.write("bars/2.csv", csv(bar(3), bar(1, price=9.0), bar(4, "B")))
    mill.run()
    found = account(mill)
    assert counts(found["bars/1.csv"]) == (6, 1, 2, 1, 1, 0, 1)
    assert counts(found["bars/2.csv"]) == (3, 3, 0, 0, 0, 0, 0)
    assert mill.ticks is not None
    assert mill.ticks.rows - 1 == sum(one.kept for one in found.values()), "the quarantine is not kept"
    mill.write("bars/3.csv", csv(bar(4, "B", price=5.0)))  # corrects a row of a file that is not read again
    mill.run()
    assert counts(account(mill)["bars/2.csv"]) == (3, 2, 1, 0, 0, 0, 0)
    assert account(mill)["bars/1.csv"] == found["bars/1.csv"]
    (mill.data / "bars" / "3.csv").unlink()
    mill.run()
    assert account(mill) == found


def test_repeats_of_trades_without_id_are_no_losses(tmp_path: Path) -> None:
    mill = Mill(tmp_path, [DATASETS[2]])
    rows = "ts,price,size\n1577836800000,1,1\n1577836800000,1,1\n1577836800000,2,1\n"
    mill.write("bare/1.csv", rows)
    mill.write("bare/2.csv", rows)
    mill.run()
    assert {name: counts(one) for name, one in account(mill).items()} == {
        "bare/1.csv": (3, 2, 0, 1, 0, 0, 0),
        "bare/2.csv": (3, 0, 0, 3, 0, 0, 0),
    }


@pytest.mark.parametrize(
    ("dataset", "text", "warning"),
    [
        ({}, csv(), "files:bars/1.csv has no rows"),
        ({"where": {"market": "Z"}}, csv(bar(1)), "files:bars/1.csv: the filter leaves none of 1 rows"),
        ({}, csv(BAD), "files:bars/1.csv: none of 1 rows is kept: 1 quarantined"),
        ({}, csv(bar(1), BAD), "files:bars/1.csv: 50.0 % of the rows are lost: 1 quarantined"),
        ({}, csv(bar(1), bar(1)), None),
        ({}, csv(bar(1), bar(1, price=3.0)), "files:bars/1.csv: 50.0 % of the rows are lost: 1 replaced"),
        ({}, csv(bar(1), bar(2)), None),
    ],
)
def test_what_is_odd_is_a_warning(tmp_path: Path, dataset: dict[str, Any], text: str, warning: str | None) -> None:
    mill = Mill(tmp_path, [{**DATASETS[0], **dataset}], on_bad_rows="quarantine")
    mill.write("bars/1.csv", text)
    mill.write("bars/2.csv", csv(bar(9, "Z")))
    mill.run()
    assert warnings(account(mill).values()) == ([] if warning is None else [warning])


def test_too_much_lost_is_an_error_where_that_is_set(mill: Mill) -> None:
    before = mill.ticks
    mill.settings = Settings(max_lost_fraction=0.3)
    mill.write("bars/3.csv", csv(bar(5), bar(5, price=3.0)))
    with pytest.raises(BadInput, match=r"50\.0 % of its rows are lost: 1 replaced") as caught:
        mill.run()
    assert caught.value.where == "files:bars/3.csv"
    assert mill.ticks == before
    mill.write("bars/3.csv", csv(bar(5), bar(5, price=3.0), bar(6), bar(7)))
    mill.run()


ROWS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from("AB"), st.sampled_from([2.0, 3.0])), max_size=6)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(st.sampled_from(["a.csv", "b.csv"]), ROWS), min_size=1, max_size=4))
def test_the_account_of_any_history_is_that_of_a_run_from_scratch(
    batches: list[tuple[str, list[tuple[int, str, float]]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    mill = Mill(tmp_path_factory.mktemp("mill"), [DATASETS[0]])
    mill.write("bars/0.csv", csv(bar(1)))
    for name, rows in batches:
        mill.write(f"bars/{name}", csv(*(bar(*row) for row in rows)))
        mill.run()
    found = account(mill)
    mill.ticks = mill.run(fresh=True)
    assert account(mill) == found
    assert sum(one.kept for one in found.values()) == mill.ticks.rows
