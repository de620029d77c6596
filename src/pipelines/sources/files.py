"""Bars, trades and quotes in files of your own: CSV, TSV, Parquet, Feather or JSON lines, compressed or not.

Each `[[sources.files.datasets]]` in agent.toml says where files lie and what columns mean; docs/how-to/own-data.md
has an example for each kind of data. A part is a file (with `ask_path`: a pair of files). Nothing is guessed from
values: units of whole-number times, zones of naive ones and the interval of bars are settings. A file behind a URL is
read from a copy that is fetched when its token changes; to all else it is a file like others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipelines.data.file_tables.find import REMOTE_FOLDER, find_files, is_url
from pipelines.data.file_tables.remote import RemoteFiles
from pipelines.data.file_tables.remote_faults import shown
from pipelines.data.file_tables.settings import Dataset, Settings
from pipelines.errors import BadInput
from pipelines.fingerprint import settings_hash
from pipelines.source import Batch, Bulk, Probe
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

    from pipelines.data.file_tables.adjust import MarketFacts

__all__ = ["SOURCE", "FilesSource", "Settings"]


@dataclass(frozen=True)
class _Part:
    """A part: the number of its dataset and its files (bid and ask side, or one). `is_table`: it describes markets and
    has no ticks."""

    dataset: int
    files: tuple[Path, ...]
    is_table: bool = False


class FilesSource:
    """Market data in files."""

    name: ClassVar[str] = "files"
    historical: ClassVar[bool] = True
    keeps_copies: ClassVar[bool] = True

    def __init__(self, settings: Settings, base: Path, copies: Path | None = None) -> None:
        """copies: where those of files behind URLs lie, by default below `base`."""
        self.max_age_seconds = None if settings.max_age_hours is None else settings.max_age_hours * 3600
        self._datasets = settings.datasets
        self._base = base
        self._remote = RemoteFiles(copies or base / REMOTE_FOLDER)
        self._parts: dict[str, _Part] = {}
        self._facts: dict[int, MarketFacts] = {}

    def probe(self) -> Probe:
        """One part a file; the token is made of its size, its time of change and its dataset's settings; of a file
        behind a URL it is made of what its server says of it.

        Raises BadInput where a dataset's path matches no file, TransientError where the server of one does not answer.
        """
        self._remote.forget()
        self._list()
        known_by = [self._known_by(number) for number in range(len(self._datasets))]
        self._remote.clear()
        stamps = {file: self._stamp(file) for part in self._parts.values() for file in part.files}
        return Probe(
            {
                name: "-".join([*(stamps[file] for file in part.files), *known_by[part.dataset][part.is_table]])
                for name, part in self._parts.items()
            }
        )

    def _list(self) -> None:
        """Find the parts, by their names alone."""
        found = [part for number in range(len(self._datasets)) for part in self._parts_of(number)]
        counts: Counter[str] = Counter()
        self._parts.clear()
        self._facts.clear()
        for part in found:
            label = self._label(part.files[0])
            counts[label] += 1  # several datasets may take the same file
            self._parts[label if counts[label] == 1 else f"{label} #{counts[label]}"] = part

    def _label(self, file: Path) -> str:
        """A file's name from the folder of agent.toml on, or its URL."""
        remote = self._remote.of(file)
        if remote is not None:
            return shown(remote.url)
        depth = len(self._base.parts)
        if file.parts[:depth] == self._base.parts and ".." not in file.parts:
            return "/".join(file.parts[depth:])
        return Path(os.path.relpath(file, self._base)).as_posix()

    def markets(self) -> pl.DataFrame:
        """Every market that a file or a table of markets names. Reads files whose market stands in a column."""
        from pipelines.data.file_tables.markets import DatasetFiles, list_markets

        found = [
            DatasetFiles(self._datasets[n], tuple(self._paths(n)), tuple(self._tables(n)))
            for n in range(len(self._datasets))
        ]
        self._brought([file for one in found for files in (*one.files, one.tables) for file in files])
        return list_markets(self.name, found)

    def market_history(self) -> pl.DataFrame:
        """States of the markets whose table says when each row was seen."""
        import polars as pl

        from pipelines.data.file_tables.markets import market_history

        tables = (
            market_history(self.name, dataset, tuple(self._brought(self._tables(n))))
            for n, dataset in enumerate(self._datasets)
        )
        return pl.concat(tables)

    def fetch(self, part: str) -> Batch:
        """The rows of one file, in its order. Raises BadInput for a file that cannot be read as the settings say."""
        from pipelines.data.file_tables.rows import no_rows, read_batch

        found = self._part(part)
        if found.is_table:
            return no_rows()
        self._remote.bring(found.files)
        return read_batch(self.name, self._datasets[found.dataset], found.files, self._facts_of(found.dataset))

    def fetch_many(self, parts: Sequence[str]) -> Iterator[Bulk]:
        """The rows of many files, those of one dataset together. Raises as `fetch` does."""
        from pipelines.data.file_tables.rows import no_rows, read_bulks

        by_dataset: dict[int, dict[str, tuple[Path, ...]]] = {}
        for part in parts:
            found = self._part(part)
            if found.is_table:
                yield Bulk.of_one(part, no_rows())
            else:
                by_dataset.setdefault(found.dataset, {})[part] = found.files
        for number, files in by_dataset.items():
            self._remote.bring(file for one in files.values() for file in one)
            yield from read_bulks(self.name, self._datasets[number], files, self._facts_of(number))

    def bring(self, parts: Iterable[str]) -> None:
        """Have copies of these parts' files, where they lie behind URLs. Raises as `fetch` does."""
        self._remote.bring(file for part in parts for file in self._part(part).files)

    def _part(self, part: str) -> _Part:
        if part not in self._parts:
            self._list()
        found = self._parts.get(part)
        if found is None:
            raise BadInput("there is no such file", where=part, fix="put it back, or run again without it")
        return found

    def _facts_of(self, number: int) -> MarketFacts:
        from pipelines.data.file_tables.adjust import MarketFacts, read_splits
        from pipelines.data.file_tables.markets import market_ends

        if number not in self._facts:
            dataset = self._datasets[number]
            ends = market_ends(self.name, dataset, self._brought(self._tables(number)))
            splits = read_splits(self.name, dataset, self._brought(self._splits(number)))
            self._facts[number] = MarketFacts(ends, splits)
        return self._facts[number]

    def _parts_of(self, number: int) -> Iterable[_Part]:
        yield from (_Part(number, files) for files in self._paths(number))
        yield from (_Part(number, (table,), is_table=True) for table in self._tables(number))

    def _known_by(self, number: int) -> tuple[list[str], list[str]]:
        """What else the tokens of a dataset's files, and of its tables of markets, are made of."""
        dataset = self._datasets[number]
        settings = settings_hash(dataset)[:16]
        # Rows are cut at the market's end, so that they change with the table that says when that is.
        more = self._tables(number) if dataset.cuts_at_end else []
        return [*(self._stamp(file) for file in (*more, *self._splits(number))), settings], [settings]

    def _paths(self, number: int) -> list[tuple[Path, ...]]:
        dataset = self._datasets[number]
        if dataset.path is None:
            return []
        files = self._find(dataset.path)
        if dataset.ask_path is None:
            return [(file,) for file in files]
        return _pair(dataset, files, self._find(dataset.ask_path))

    def _splits(self, number: int) -> list[Path]:
        splits = self._datasets[number].splits
        return [] if splits is None else self._find(splits)

    def _tables(self, number: int) -> list[Path]:
        table = self._datasets[number].markets
        return [] if table is None else self._find(table.path)

    def _find(self, path: str | tuple[str, ...]) -> list[Path]:
        """The files that a path of agent.toml means; of those behind URLs their copies, which need not be there yet."""
        if isinstance(path, tuple):
            return sorted({file for one in path for file in self._find(one)}, key=self._label)
        return self._remote.find(path) if is_url(path) else find_files(self._base, path)

    def _brought(self, files: list[Path]) -> list[Path]:
        self._remote.bring(files)
        return files

    def _stamp(self, file: Path) -> str:
        remote = self._remote.of(file)
        return _stamp(file) if remote is None else settings_hash(remote.token)[:16]


def _stamp(file: Path) -> str:
    try:
        stat = file.stat()
    except OSError as error:
        raise BadInput(
            f"the file cannot be read: {error.strerror}",
            where=str(file),
            fix="put it back, or check its permissions, then run again",
        ) from error
    return f"{stat.st_size}.{stat.st_mtime_ns}"


def _pair(dataset: Dataset, bids: list[Path], asks: list[Path]) -> list[tuple[Path, ...]]:
    """Each bid file with the ask file of the same market. Raises BadInput where one is left over."""
    from pipelines.data.file_tables.read import name_from_file

    if len(bids) == len(asks) == 1:
        return [(bids[0], asks[0])]
    by_name = [{name_from_file(dataset, file): file for file in side} for side in (bids, asks)]
    single = sorted(by_name[0].keys() ^ by_name[1].keys())
    if single or len(by_name[0]) != len(bids) or len(by_name[1]) != len(asks):
        raise BadInput(
            f"bid and ask files do not go together in pairs: {', '.join(single[:5]) or 'a market has several files'}",
            where=f"path = {dataset.path!r}, ask_path = {dataset.ask_path!r}",
            fix="give market_pattern a group (?P<market>…) that is the same for the bid and the ask file of a market",
        )
    return [(file, by_name[1][name]) for name, file in sorted(by_name[0].items())]


SOURCE = FilesSource
