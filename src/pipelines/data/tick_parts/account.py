"""The account of rows: what became of every row of every part. Pure.

read = kept + replaced + repeated + filtered + running + quarantined
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipelines.data.tick_parts.memo import PartId, PartRecord
from pipelines.figures import percent_text
from pipelines.values import dataclass

FATES = ("read", "kept", "replaced", "repeated", "filtered", "running", "quarantined")
WARN_FRACTION = 0.01  # more lost than this is worth a look


@dataclass(frozen=True)
class Account:
    """What became of a part's rows. A part that has none by its nature (a table of markets) has no account.

    replaced: corrected by a later row of the same bar or trade. repeated: the same row stands there again. filtered:
    left out on purpose (`where`, quotes with one side empty, rows from the market's end on). running: bars that were
    not over when the part was written. quarantined: rows that break a rule.
    """

    source: str
    part: str
    read: int
    kept: int
    replaced: int
    repeated: int
    filtered: int
    running: int
    quarantined: int

    @property
    def lost_fraction(self) -> float:
        """Share of the rows that were to be taken and are not there: replaced by another one, or quarantined."""
        meant = self.read - self.filtered - self.running - self.repeated
        return (self.replaced + self.quarantined) / meant if meant else 0.0

    @property
    def warning(self) -> str | None:
        """What is odd about it, with the part's name."""
        name = f"{self.source}:{self.part}"
        if self.read == 0:
            return f"{name} has no rows"
        if self.filtered == self.read:
            return f"{name}: the filter leaves none of {self.read:,} rows"
        if self.kept == 0:
            return f"{name}: none of {self.read:,} rows is kept: {self.reasons}"
        if self.lost_fraction > WARN_FRACTION:
            return f"{name}: {percent_text(self.lost_fraction)} of the rows are lost: {self.reasons}"
        return None

    @property
    def reasons(self) -> str:
        """The counts that are not 0, in words."""
        counts = ((getattr(self, name), name) for name in FATES[2:])
        return ", ".join(f"{count:,} {name}" for count, name in counts if count) or "none"


def accounts(records: Mapping[PartId, PartRecord]) -> list[Account]:
    """The account of each part, by source and part."""
    found = []
    for (source, part), record in sorted(records.items()):
        if "read" not in record.counts:
            continue
        replaced = sum(one for one, _ in record.lost.values())
        repeated = sum(one for _, one in record.lost.values())
        left_out = {name: record.counts[name] for name in ("filtered", "running", "quarantined")}
        read = record.counts["read"]
        kept = read - replaced - repeated - sum(left_out.values())
        found.append(Account(source, part, read, kept, replaced, repeated, **left_out))
    return found


def total(found: Iterable[Account]) -> dict[str, int]:
    """What became of the rows of all parts: fate -> how many."""
    counts = dict.fromkeys(FATES, 0)
    for one in found:
        for name in FATES:
            counts[name] += getattr(one, name)
    return counts


def sentence(found: Sequence[Account]) -> str:
    """The account of all parts in words: 12,154 rows of 3 files read: 12,150 kept, 4 replaced."""
    counts = total(found)
    read = counts.pop("read")
    fates = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "kept")
    return f"{read:,} rows of {len(found):,} {'part' if len(found) == 1 else 'parts'} read: {fates}"


def warnings(found: Iterable[Account]) -> list[str]:
    """What is odd about any of the parts."""
    return [text for one in found if (text := one.warning) is not None]
