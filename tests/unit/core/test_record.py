"""The forward record: a byte changed anywhere is found."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest

from agent.core.record import FIRST, Note, Sealed, faults, seal

RELEASES = ["2026-01-01-a", "2026-01-02-b", "2026-01-02-b", "2026-01-03-c", "2026-01-04-d"]


def record() -> tuple[list[Sealed], dict[str, str], list[Note]]:
    rows, before = [], FIRST
    for number, release in enumerate(RELEASES, 1):
        at, decisions = f"2026-01-0{number}T00:00:00+00:00", f'{{"rows":[["m:{release}",0.5{number}]]}}'
        if number == 3:
            decisions = rows[-1].decisions  # the same release, published again
        rows.append(Sealed(number, release, at, decisions, before, seal(before, release, at, decisions)))
        before = rows[-1].hash
    return rows, {row.release: row.decisions for row in rows}, [note_of(row) for row in rows]


def note_of(row: Sealed) -> Note:
    return Note(row.sealed_at, row.release, row.hash)


def test_a_record_as_it_was_sealed_has_no_faults() -> None:
    assert faults(*record()) == []
    assert faults([], {}, []) == []


def changed(text: str, chance: random.Random) -> str:
    """Another byte at some place."""
    place = chance.randrange(len(text))
    other = chance.choice([one for one in "0123456789abcdefXYZ" if one != text[place]])
    return text[:place] + other + text[place + 1 :]


@pytest.mark.parametrize("seed", range(200))
def test_a_changed_byte_is_found(seed: int) -> None:
    chance = random.Random(seed)
    rows, published, noted = record()
    where = chance.choice(["row", "published", "note"])
    number = chance.randrange(len(rows))
    if where == "row":
        name = chance.choice([one.name for one in fields(Sealed) if one.name != "id"])
        rows[number] = replace(rows[number], **{name: changed(getattr(rows[number], name), chance)})
    elif where == "published":
        name = RELEASES[number]
        published[name] = changed(published[name], chance)
    else:
        name = chance.choice([one.name for one in fields(Note)])
        noted[number] = replace(noted[number], **{name: changed(getattr(noted[number], name), chance)})
    assert faults(rows, published, noted)


@pytest.mark.parametrize("number", range(5))
def test_a_row_that_was_removed_is_found(number: int) -> None:
    rows, published, noted = record()
    del rows[number]
    assert faults(rows, published, noted)


def test_a_chain_whose_end_is_written_again_is_found_by_the_notes() -> None:
    rows, published, noted = record()
    decisions = '{"rows":[]}'
    last = rows[-1]
    rows[-1] = replace(
        last, decisions=decisions, hash=seal(last.previous_hash, last.release, last.sealed_at, decisions)
    )
    del published[last.release]  # and its files are gone
    assert faults(rows, published, noted) == [
        f"a seal noted outside the database, of {last.release}, is missing: its row was changed or removed"
    ]


def test_a_row_whose_note_is_not_written_yet_is_no_fault() -> None:
    rows, published, noted = record()
    assert faults(rows, published, noted[:-1]) == []
    assert "has no note" in faults(rows, published, [*noted[:2], *noted[3:]])[0]


def test_a_release_that_is_gone_stays_on_record() -> None:
    rows, _, noted = record()
    assert faults(rows, {}, noted) == []
