"""Reads what two releases are compared by: agent.core.release_diff and agent.core.morning say what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.core.morning import Since
from agent.core.release_diff import Change, Figure, changes, figures, headline
from agent.store.database.engine import Connections
from agent.store.morning import NOTHING, load_between
from agent.store.outputs import releases
from agent.store.outputs.projections import Record
from agent.store.outputs.releases import Release
from pipelines.values import dataclass

_BACKTEST = "backtest"


@dataclass(frozen=True)
class Comparison:
    """One release against another: what differs in a sentence, component by component, the figures, and the markets and
    decisions that are other ones."""

    before: Release
    after: Release
    headline: str
    changes: tuple[Change, ...]
    figures: tuple[Figure, ...]
    since: Since

    @property
    def backtests(self) -> tuple[int | None, int | None]:
        """The snapshots of both backtests; None where a release has none."""
        before, after = (
            release.versions.get(_BACKTEST, {}).get("snapshot_id") for release in (self.before, self.after)
        )
        return before, after


def load_comparison(at: Connections, before: str, after: str) -> Comparison:
    """Release `after` against release `before`. Raises NotFound."""
    return compare(at, releases.load_release(at.project, before), releases.load_release(at.project, after))


def compare(
    at: Connections, first: Release, second: Release, unpublished: Mapping[str, Sequence[Record]] = NOTHING
) -> Comparison:
    """One against another, of which either may be a try in the form of a release; `unpublished` then has the rows of
    its decisions by its name."""
    known = releases.behind(at.project, first, second)
    found = changes(
        first.versions,
        second.versions,
        {name: one.settings for name, one in known.items()},
        {name: one.reads for name, one in known.items()},
    )
    return Comparison(
        before=first,
        after=second,
        headline=headline(found),
        changes=tuple(found),
        figures=tuple(figures(first.metrics, second.metrics)),
        since=load_between(at, first, second, unpublished),
    )
