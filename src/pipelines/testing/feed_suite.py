"""What every remote source must do whatever its venue does, as tests to inherit: against a server on this machine.

The collector that asks is the real one; its clock jumps where it is waited by, so that a storm costs no time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.errors import PipelineError
from pipelines.feed import Feed
from pipelines.inbox.collected import CollectedSource, collected
from pipelines.plugins.discovery import settings_of_source
from pipelines.plugins.modules import entry_points, load_entry
from pipelines.settings import Faults, build
from pipelines.testing.venues import Answer, Asked, Fault, Venue, VenueServer, at, serving, storm

if TYPE_CHECKING:
    import polars as pl

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
COLLECTOR_GROUP = "tidemill.collector"
# What passes when it is waited for -> what is said of a stream where it does not.
PASSING: Mapping[Fault, str] = {
    "429": "asks for a pause",
    "429 with date": "asks for a pause",
    "503": "has a fault",
    "reset": "connection failed",
    "truncated": "no whole JSON",
    "html": "text/html, no JSON",
    "type": "application/octet-stream, no JSON",
    "drip": "no whole reply within",
}
REFUSALS: Mapping[Fault, str] = {
    "401": "does not accept the key",
    "403": "refuses to serve this address",
    "451": "by its rule about regions",
    "redirect": "redirects to another host",
}
# Parameters that say where a walk is; what is left of a request says what it is about.
PLACES = (
    frozenset({"cursor", "after_cursor", "next_cursor", "offset", "fromId", "limit", "count", "before", "after"})
    | {"since", "until", "from", "to", "start", "end", "startTs", "endTs", "start_ts", "end_ts", "min_ts", "max_ts"}
    | {"startTime", "endTime"}
)
CURSORS = frozenset({"cursor", "next_cursor"})  # fields of a reply that name the next page
_CONCURRENCY = 16  # requests that may be under way when the first of them is refused
_REST = timedelta(minutes=31)  # the longest that a stream which failed is left alone
_UNDISTURBED: dict[type, pl.DataFrame] = {}  # suite -> all rows of its venue


@dataclass
class Scene:
    """A venue, an inbox and a collector of their own."""

    server: VenueServer
    source: CollectedSource
    trial: Any  # agent.collect.trial.Trial, or another one of its kind

    def collect(self, **options: Any) -> Any:
        """A pass; returns how it went: is_done, failed."""
        return self.trial.collect(self.source, **options)

    def asked(self) -> list[Asked]:
        """All that the venue was asked for."""
        return self.server.asked("venue")

    def rows(self) -> pl.DataFrame:
        """All rows of prices that the inbox has, each once, in order."""
        import polars as pl

        parts = [part for part in self.source.probe().parts if not part.startswith("markets/")]
        frames = [self.source.fetch(part).frame for part in parts]
        if not frames:
            return pl.DataFrame()
        rows = pl.concat(frames)
        key = ["market_id", "start"] if "start" in rows.columns else ["market_id", "ts", "seq"]
        return rows.unique(key, keep="last").sort(key)


class FeedSuite:
    """Tests of a feed. Inherit in a class called Test…, and give `feed`, `settings` and `venue`.

    feed: the class under test. environment: values for its SECRETS.
    """

    feed: ClassVar[type[Feed]]
    environment: ClassVar[Mapping[str, str]] = {}

    def settings(self, url: str) -> Mapping[str, Any]:
        """What `[sources.NAME]` in agent.toml would say, as plain values, with the venue at `url`."""
        raise NotImplementedError

    def venue(self, until: datetime, now: Callable[[], datetime]) -> Venue:
        """What answers as the venue does: at least two markets with prices up to `until`, of which it says at each
        request what is known at `now()`. Called again, it makes the same."""
        raise NotImplementedError

    # --- what pages are -------------------------------------------------------------------------------------------

    def test_pages_twice_or_in_another_order_change_nothing(self, tmp_path: Path) -> None:
        """What pages say does not depend on how often, when or in which order they came; nor on reading them again."""
        from pipelines.inbox.writer import Writer

        with self._scene(tmp_path) as scene:
            scene.collect()
            rows, inbox = scene.rows(), scene.source.inbox
            assert not rows.is_empty(), "the venue has no prices: let venue() have some"
            assert scene.rows().equals(rows), "rows differ when read again"
            writer = Writer(inbox)
            for kind in inbox.kinds():
                for frame in list(inbox.frames(kind))[::-1]:
                    writer.append(kind, frame.header, frame.body())
            writer.flush(scene.trial.pace.now())
            writer.close()
            assert scene.rows().equals(rows), "rows differ when pages came twice, the other way round"

    def test_passes_cut_short_bring_what_one_brings(self, tmp_path: Path) -> None:
        """Each by a process that knows the inbox alone, each after a few requests."""
        whole = self._whole(tmp_path / "whole")
        with self._scene(tmp_path) as scene:
            for _ in range(200):
                if scene.collect(fresh=True, seconds=0.3).is_done:
                    break
            assert scene.rows().equals(whole), "passes that were cut short leave rows out"

    def test_pages_that_shift_while_they_are_asked_for_lose_nothing(self, tmp_path: Path) -> None:
        """Time goes on at each request: new rows move what a walk has not seen yet."""
        whole = self._whole(tmp_path / "whole")
        with self._scene(tmp_path, start=NOW - timedelta(hours=3)) as scene:
            venue = scene.server.venues["venue"]

            def shifting(asked: Asked) -> Answer:
                scene.trial.pace.at = min(NOW, scene.trial.pace.at + timedelta(minutes=4))
                return venue(asked)

            scene.server.venues = {"venue": shifting}
            scene.collect()
            scene.trial.pace.at = NOW
            scene.collect()
            assert scene.rows().equals(whole), "rows are lost, or there twice, where pages shift"

    # --- what venues do -------------------------------------------------------------------------------------------

    def test_faults_that_pass_cost_a_pause_and_no_row(self, tmp_path: Path) -> None:
        """At the first and third request: nothing is lost, and what was answered is not asked for again."""
        whole = self._whole(tmp_path / "whole")
        for fault in PASSING:
            with self._scene(tmp_path / fault, patience=1.0 if fault == "drip" else 20.0) as scene:
                scene.server.faults["venue"] = at(1, 3, fault=fault)
                passed = scene.collect()
                assert (passed.failed, passed.is_done) == ({}, True), f"{fault}: it is not waited out: {passed.failed}"
                assert scene.rows().equals(whole), f"{fault}: rows are lost, or there twice"
                assert scene.trial.pace.waited, f"{fault}: no pause"
                twice = {
                    what for what, n in Counter(one.identity for one in scene.server.answered("venue")).items() if n > 1
                }
                # A busy machine is as slow as a venue that drips.
                assert fault == "drip" or not twice, f"{fault}: asked for twice: {twice}"

    def test_a_stream_that_always_fails_stops_alone(self, tmp_path: Path) -> None:
        """What is said of it says why; the others go on; when the fault is gone, nothing is missing."""
        whole, broken = self._whole(tmp_path / "whole"), _about(self._usual(tmp_path / "usual")[-1])
        for fault, said in PASSING.items():
            with self._scene(tmp_path / fault, patience=1.0 if fault == "drip" else 20.0) as scene:

                def strike(number: int, scene: Scene = scene, fault: Fault = fault) -> Any:
                    return fault if _about(scene.asked()[number - 1]) == broken else None

                scene.server.faults["venue"] = strike
                passed = scene.collect()
                assert len(passed.failed) == 1, f"{fault}: {passed.failed}"
                assert said in next(iter(passed.failed.values())), f"{fault}: {passed.failed}"
                others = scene.rows()
                missing = set(whole["market_id"]) - set(others["market_id"])
                assert len(missing) == 1, f"{fault}: {missing} have no rows"
                assert others.equals(whole.filter(~whole["market_id"].is_in(missing))), f"{fault}: others lost rows"
                _recover(scene, f"{fault}: rows are missing when it is over", whole)

    def test_a_storm_ends_within_its_time_and_with_few_requests(self, tmp_path: Path) -> None:
        """429 to all requests but the first: the whole venue pauses."""
        whole = self._whole(tmp_path / "whole")
        with self._scene(tmp_path) as scene:
            scene.server.faults["venue"] = storm(2, 10**6, "429")
            passed = scene.collect(seconds=30.0)
            assert passed.failed or not passed.is_done, "a storm is reported as nothing"
            assert scene.trial.pace.at - NOW < timedelta(seconds=60), "it waits for longer than it may"
            assert len(scene.asked()) < 60, f"{len(scene.asked())} requests in 30 seconds of a storm"
            _recover(scene, "rows are missing after a storm", whole)

    def test_a_refusal_ends_the_pass_and_says_what_to_do(self, tmp_path: Path) -> None:
        """A key, a region, another host: no request is of use, none is made in another way."""
        whole = self._whole(tmp_path / "whole")
        for fault, said in REFUSALS.items():
            with self._scene(tmp_path / fault) as scene:
                scene.server.faults["venue"] = storm(2, 10**6, fault)
                try:
                    scene.collect()
                except PipelineError as error:
                    assert said in error.what, f"{fault}: {error.what}"  # noqa: PT017
                    assert error.fix, f"{fault}: the error has no fix"  # noqa: PT017
                else:
                    raise AssertionError(f"{fault}: the pass goes on")
                assert len(scene.asked()) <= 2 + _CONCURRENCY, f"{fault}: asked again and again"
                _recover(scene, f"{fault}: rows are missing when it is over", whole)

    def test_a_page_that_comes_again_and_again_stops_its_stream(self, tmp_path: Path) -> None:
        """The venue gives the first page of each walk for ever, whatever place it is asked for."""
        whole = self._whole(tmp_path / "whole")
        with self._scene(tmp_path) as scene:
            venue, first = scene.server.venues["venue"], dict[Any, Answer]()

            def stuck(asked: Asked) -> Answer:
                answer, about = venue(asked), _about(asked)
                # An empty page is none that comes again: it says that there is nothing.
                if about not in first or len(answer.data()) > 2 * len(first[about].data()):
                    first[about] = answer
                return first[about]

            usual = len(self._usual(tmp_path / "usual"))
            scene.server.venues = {"venue": stuck}
            passed = scene.collect()
            assert len(scene.asked()) <= usual + 6, f"{len(scene.asked())} requests for pages that are the same"
            assert all("does not end" in why for why in passed.failed.values()), passed.failed
            scene.server.venues = {"venue": venue}
            _recover(scene, "rows are missing when the venue goes on again", whole)

    def test_a_cursor_that_never_ends_stops_its_stream(self, tmp_path: Path) -> None:
        """Each reply that may name a next page names one, never the same, and has the rows of the first. Walks that go
        by time or offset end by themselves: they are asked as ever."""
        whole = self._whole(tmp_path / "whole")
        with self._scene(tmp_path) as scene:
            venue, first = scene.server.venues["venue"], dict[Any, Mapping[str, Any]]()

            def endless(asked: Asked) -> Answer:
                about = _about(asked)
                is_again = about in first and any(value.startswith("again-") for _, value in asked.params)
                answer = Answer(first[about]) if is_again else venue(asked)
                names = CURSORS & answer.body.keys() if isinstance(answer.body, Mapping) else frozenset[str]()
                if not names or answer.status != 200:
                    return answer
                return Answer({**first.setdefault(about, answer.body), **dict.fromkeys(names, f"again-{asked.number}")})

            usual = len(self._usual(tmp_path / "usual"))
            scene.server.venues = {"venue": endless}
            passed = scene.collect()
            assert len(scene.asked()) <= usual + 3 * len(first) + 6, f"{len(scene.asked())} requests, without an end"
            assert bool(passed.failed) == bool(first), f"a walk without an end is reported as nothing: {passed.failed}"
            assert all("does not end" in why for why in passed.failed.values()), passed.failed
            prices = {_about(one) for one in scene.asked()} - first.keys()
            assert not prices or not scene.rows().is_empty(), "other streams do not go on"
            scene.server.venues = {"venue": venue}
            _recover(scene, "rows are missing when the walk ends again", whole)

    def test_clocks_that_differ_change_no_row(self, tmp_path: Path) -> None:
        """How far they differ is known, to be reported."""
        whole = self._whole(tmp_path / "whole")
        with self._scene(tmp_path) as scene:
            scene.server.clock_offset = timedelta(seconds=90)
            scene.collect()
            assert scene.rows().equals(whole), "rows are others where the venue's clock is ahead"
            # The venue's Date counts in whole seconds.
            assert 88 <= scene.trial.offset_seconds <= 91, scene.trial.offset_seconds

    # --- scenes ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _scene(self, folder: Path, *, start: datetime = NOW, patience: float = 20.0) -> Iterator[Scene]:
        folder.mkdir(parents=True, exist_ok=True)
        trial = _collector()(start, self.environment, patience)
        with serving({"venue": self.venue(NOW, trial.pace.now)}, trial.pace.now) as server:
            cls, faults = collected(self.feed), Faults("settings of the suite")
            values = self.settings(server.url("venue"))
            settings = build(settings_of_source(cls), values, f"sources.{self.feed.name}", faults)
            faults.raise_if_any()
            yield Scene(server, cls(settings, folder), trial)

    def _whole(self, folder: Path) -> pl.DataFrame:
        """What a collector brings that nothing disturbs."""
        if type(self) in _UNDISTURBED:
            return _UNDISTURBED[type(self)]
        with self._scene(folder) as scene:
            passed = scene.collect()
            assert (passed.failed, passed.is_done) == ({}, True), f"without any fault: {passed.failed}"
            rows = scene.rows()
            assert rows["market_id"].n_unique() > 1, "one market is too few: let venue() have two"
            return _UNDISTURBED.setdefault(type(self), rows)

    def _usual(self, folder: Path) -> list[Asked]:
        """What is asked for where nothing disturbs; the last request belongs to one market alone."""
        with self._scene(folder) as scene:
            scene.collect()
            return scene.asked()


def _about(asked: Asked) -> tuple[str, tuple[tuple[str, str], ...]]:
    return asked.path, tuple(sorted(one for one in asked.params if one[0] not in PLACES))


def _recover(scene: Scene, what: str, whole: pl.DataFrame) -> None:
    """Without faults, after what failed has rested, by another process: all there is, each row once."""
    import polars as pl

    scene.server.faults.clear()
    scene.trial.pace.at += _REST
    passed = scene.collect(fresh=True)
    assert (passed.failed, passed.is_done) == ({}, True), f"{what}: {passed.failed}"
    again = scene.rows()
    time = "start" if "start" in whole.columns else "ts"
    newest = whole.get_column(time).max()
    assert again.filter(pl.col(time) <= pl.lit(newest)).equals(whole), what


def _collector() -> Any:
    """The class that collects. Raises PipelineError where none is installed."""
    found = list(entry_points(COLLECTOR_GROUP))
    if not found:
        raise PipelineError(
            "no collector is installed to try a feed with",
            where=f"entry point group {COLLECTOR_GROUP}",
            fix="install tidemill (pip install -e . in a checkout)",
        )
    return load_entry(found[0])
