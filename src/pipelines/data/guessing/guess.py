"""From files to the datasets that read them: looked at, put together by kind, named, and tried with the real reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.data.file_tables.adjust import MarketFacts
from pipelines.data.file_tables.find import ENDINGS, find_files, stem, walk
from pipelines.data.file_tables.markets import market_ends
from pipelines.data.file_tables.read import name_from_file
from pipelines.data.file_tables.rows import read_batch
from pipelines.data.file_tables.settings import Dataset
from pipelines.data.guessing.look import Look, look_at
from pipelines.data.guessing.meaning import Meaning, is_table_of_markets, meaning_of, template_columns
from pipelines.data.guessing.names import LEVELS, Naming, naming, path_of, shape
from pipelines.data.guessing.presets import PRESETS, Layout
from pipelines.data.guessing.tables import ends_too_early, key_of, table_settings
from pipelines.data.guessing.words import kind_of
from pipelines.errors import BadInput
from pipelines.settings import Faults, build
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_LOOKED_AT = 6  # files of one shape; where they differ, all of them
_SHOWN = 3
LayoutOf = Callable[[Path], "Layout | None"]


@dataclass
class Guess:
    """One dataset: its settings as in agent.toml, three rows as they are understood, and what is not certain."""

    settings: dict[str, Any]
    files: list[Path]
    rows: pl.DataFrame | None = None
    unsure: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Guesses:
    """What some files are taken to be, and the files that nothing could be made of, with the reason."""

    datasets: list[Guess]
    passed_over: list[tuple[Path, str]]


@dataclass
class _Group:
    """Files that the same settings read."""

    meaning: Meaning
    files: list[Path]
    level: int = 0
    naming: Naming | None = None


def guess(base: Path, paths: Sequence[Path]) -> Guesses:
    """What the files at `paths` (files or folders) are, as settings relative to `base`. Raises BadInput for none."""
    return _guessed(base, _files(paths), lambda file: Layout())


def guess_preset(base: Path, preset: str, folder: Path) -> Guesses:
    """What the files that a program wrote to `folder` are. Raises BadInput where none is of its layout."""
    known = PRESETS[preset]

    def layout_of(file: Path) -> Layout | None:
        found = known.layout_of(file, folder.parent)
        return None if found is None else replace(found, settings={**known.settings, **found.settings})

    files = _files([folder])
    if not any(layout_of(file) for file in files):
        raise BadInput(
            f"no file is of the layout {preset!r}: {known.about}",
            where=str(folder),
            fix="give the folder that the program writes to, or try `agent sources guess` with it",
        )
    return _guessed(base, files, layout_of)


def _guessed(base: Path, files: Sequence[Path], layout_of: LayoutOf) -> Guesses:
    groups, tables, passed_over = _looked_at(files, layout_of)
    groups = _name(groups)
    found = [_dataset(base, group, groups) for group in groups]
    found = [*found, *_with_tables(base, groups, found, tables)]
    for one in found:
        _try(base, one)
    _say_namesakes(found)
    return Guesses(found, passed_over)


def _say_namesakes(found: Sequence[Guess]) -> None:
    """Say where files of two datasets name one market, AA.csv and AA.tsv: whether it is one, they do not tell."""
    seen: dict[tuple[str, str], Path] = {}
    for one in found:
        if one.rows is None or one.rows.is_empty() or {"market", "market_pattern"} & one.settings.keys():
            continue
        if one.rows.item(0, "market_id") != f"files:{stem(one.files[0])}":
            continue  # a column names it
        for file in one.files:
            first = seen.setdefault((one.settings.get("content", "bars"), stem(file)), file)
            if first not in one.files:
                one.unsure.append(
                    f"{file.name} names the same market as {first.name}: a run stops there until market_pattern (or "
                    "market) in one of the datasets says whether it is the same one"
                )
                break


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in walk(path) if file.suffix.lower() in ENDINGS)
            found += [one for one in inside if not any(p.startswith(".") for p in one.relative_to(path).parts)]
        else:
            found += find_files(path.parent, path.name)
    if not found:
        raise BadInput(
            "no file of a known format", where=", ".join(map(str, paths)), fix=f"one of {', '.join(ENDINGS)}"
        )
    return list(dict.fromkeys(found))


def _looked_at(files: Sequence[Path], layout_of: LayoutOf) -> tuple[list[_Group], list[Look], list[tuple[Path, str]]]:
    """The files in groups of equal settings, the tables of markets, and what could not be read."""
    shapes: dict[tuple[Path, str], list[Path]] = {}
    passed_over: list[tuple[Path, str]] = []
    for file in files:
        layout = layout_of(file)
        if layout is None or layout.why_not:
            passed_over.append((file, "not of the layout" if layout is None else layout.why_not))
            continue
        parent = file.parent if len(stem(file)) and not stem(file)[:4].isdigit() else file.parent.parent
        shapes.setdefault((parent, shape(file)), []).append(file)
    groups: dict[tuple[Path, str, str], _Group] = {}
    tables: list[Look] = []

    def one(file: Path) -> Meaning | None:
        return _one(file, layout_of(file), tables, passed_over)

    for (parent, name), alike in shapes.items():
        step = max(1, len(alike) // _LOOKED_AT)
        some = alike if len(alike) <= _LOOKED_AT else sorted({*alike[::step], alike[-1]})
        seen = {file: one(file) for file in some}
        if len({_signature(found) for found in seen.values()}) > 1:
            seen |= {file: one(file) for file in alike if file not in seen}
        usual = next((found for found in seen.values() if found is not None), None)
        for file in alike:
            meaning = seen.get(file, usual)
            if meaning is not None:
                key = (parent, name, _signature(meaning))
                groups.setdefault(key, _Group(meaning, [])).files.append(file)
    return _pairs(list(groups.values())), tables, passed_over


def _one(file: Path, known: Layout | None, tables: list[Look], passed_over: list[tuple[Path, str]]) -> Meaning | None:
    try:
        look = look_at(file)
        if is_table_of_markets(look):
            tables.append(look)
            return None
        meaning = meaning_of(look, known)
    except BadInput as error:
        passed_over.append((file, error.what))
        return None
    if meaning is None:
        passed_over.append((file, f"no bars, trades or quotes in columns {', '.join(look.names[:12])}"))
    return meaning


def _signature(meaning: Meaning | None) -> str:
    if meaning is None:
        return ""
    return json.dumps([meaning.settings, meaning.kind, meaning.market], sort_keys=True, default=str)


def _pairs(groups: list[_Group]) -> list[_Group]:
    """Bars of the bid side and of the ask side, which differ in the file's name alone, as one group of bids."""
    asks = {}
    for group in groups:
        if len({"ask" in _words(file) for file in group.files}) == 1 and "ask" in _words(group.files[0]):
            asks[_without_side(group.files[0])] = group
    for group in groups:
        other = asks.get(_without_side(group.files[0]))
        if other is not None and "bid" in _words(group.files[0]) and len(other.files) == len(group.files):
            group.meaning.settings["ask_path"] = other.files
            groups = [one for one in groups if one is not other]
    return groups


def _words(file: Path) -> list[str]:
    return stem(file).lower().replace("_", "-").replace(".", "-").split("-")


def _without_side(file: Path) -> tuple[Path, tuple[str, ...]]:
    return file.parent, tuple(word for word in _words(file) if word not in ("bid", "ask"))


def _name(groups: list[_Group]) -> list[_Group]:
    """Name the markets of each group; where two groups of other bars would share a name, leave more of it in. Groups of
    the same kind in several folders that share a name become one, so that the folder can tell them apart."""
    alike: dict[tuple[str, str], list[_Group]] = {}
    for group in groups:
        names = set(naming(group.files, 0, "").names)
        them = alike.setdefault((shape(group.files[0]), _signature(group.meaning)), [])
        other = next((one for one in them if names & set(naming(one.files, 0, "").names)), None)
        if group.meaning.market is not None or other is None:
            them.append(group)
        else:
            other.files += group.files
    groups = [one for one in groups if any(one is kept for them in alike.values() for kept in them)]
    for _ in range(LEVELS):
        owners: dict[str, list[_Group]] = {}
        for group in groups:
            if group.meaning.market is None:
                group.naming = naming(group.files, group.level, _word(group))
                for name in set(group.naming.names):
                    owners.setdefault(name, []).append(group)
        clashing = [them for them in owners.values() if len({_bar_of(one) for one in them}) > 1]
        if not clashing:
            break
        for group in groups:
            if any(group is one for them in clashing for one in them):
                group.level = min(LEVELS - 1, group.level + 1)
    return groups


def _bar_of(group: _Group) -> str:
    """What bars a group has: those of two groups that differ cannot be of one market."""
    settings, names = group.meaning.settings, group.meaning.look.names
    told = [settings.get("content"), settings.get("interval"), settings.get("interval_seconds")]
    words = shape(group.files[0]).rpartition("|")[0]
    return json.dumps([*told, "bid_open" in names, "bid_open" in settings["columns"], words])


def _word(group: _Group) -> str:
    """What tells a group's bars from others of the same market."""
    settings = group.meaning.settings
    seconds = settings.get("interval_seconds")
    length = settings.get("interval") or (f"{seconds}s" if seconds else str(settings.get("content", "")))
    words = [word for word in shape(group.files[0]).split("|")[:-1] if word in ("trade", "quote", "bid", "ask")]
    return "-".join([length, *words])


def _dataset(base: Path, group: _Group, groups: list[_Group]) -> Guess:
    meaning = group.meaning
    settings: dict[str, Any] = {"path": path_of(base, group.files)}
    asks = meaning.settings.pop("ask_path", None)
    if asks is not None:
        settings["ask_path"] = path_of(base, asks)
    unsure = list(meaning.unsure)
    kind = meaning.kind or kind_of(_some_names(group))
    settings["kind"] = kind or "spot"
    if kind is None:
        unsure.append('the kind is not known and set to "spot": spot, fx, equity, future or binary')
    elif meaning.kind is None:
        unsure.append(f"the kind is taken from the markets' names: {kind}")
    settings |= {name: value for name, value in meaning.settings.items() if name not in ("columns", "kind")}
    columns = dict(meaning.settings["columns"])
    if meaning.market is None and group.naming is not None:
        if group.naming.market is not None:
            settings["market"] = group.naming.market
        if group.naming.pattern is not None:
            settings["market_pattern"] = group.naming.pattern
    elif meaning.market is not None:
        columns |= _market_column(group, groups)
    if columns:
        settings["columns"] = columns
    return Guess(settings, group.files, None, unsure)


def _market_column(group: _Group, groups: list[_Group]) -> dict[str, str]:
    """columns.market, where the usual names do not give it; with a word before it where another group has its names."""
    market = str(group.meaning.market)
    plain = market if "{" in market else f"{{{market}}}"
    ids = _ids(group)
    for other in groups[: groups.index(group)]:
        if ids and ids & _ids(other):
            word = next((one for one in _words(group.files[0]) if one.isalpha()), group.files[0].suffix.lstrip("."))
            return {"market": f"{word}-{plain}"}
    if "{" not in market and market.lower() in ("market", "market_id", "symbol", "ticker", "pair", "name"):
        return {}
    return {"market": market}


def _ids(group: _Group) -> set[str]:
    """Names of markets that stand in the first file's columns."""
    import polars as pl

    market, table = group.meaning.market, group.meaning.look.table
    if market is None:
        return set()
    names = template_columns(market)
    return {"-".join(map(str, row)) for row in table.select(pl.col(names).cast(pl.String)).unique().iter_rows()}


def _some_names(group: _Group) -> list[str]:
    if group.meaning.market is None:
        return [] if group.naming is None else sorted(set(group.naming.names))[:50]
    return sorted(_ids(group))[:50]


def _with_tables(base: Path, groups: list[_Group], found: list[Guess], tables: list[Look]) -> Iterable[Guess]:
    """Give each table of markets to the prices of its markets; the rest are datasets of their own."""
    alike: dict[tuple[Path, str, tuple[str, ...]], list[Look]] = {}
    for look in tables:
        alike.setdefault((look.file.parent, shape(look.file), tuple(look.names)), []).append(look)
    for looks in alike.values():
        look = looks[0]
        near = [number for number, group in enumerate(groups) if group.meaning.look.file.parent == look.file.parent]
        matches = [(number, key) for number in near if (key := key_of(look, groups[number].meaning)) is not None]
        path = path_of(base, [one.file for one in looks])
        unsure: list[str] = []
        if not matches:
            key = key_of(look, None)
            settings = None if key is None else table_settings(look, key, unsure)
            if settings is not None:
                files = [one.file for one in looks]
                yield Guess({"kind": "binary", "markets": {"path": path, **settings}}, files, None, unsure)
            continue
        for number, key in matches:
            told = found[number]
            settings = table_settings(look, key, unsure)
            if settings is None:
                continue
            told.settings["kind"] = "binary"
            if len(key) > 1:
                told.settings["columns"] = {**told.settings.get("columns", {}), "market": settings["id"]}
            if ends_too_early(look, settings, groups[number].meaning, key):
                told.settings["stop_at_end"] = False
                unsure.append(f"prices go on after {settings['end']!r}: it is taken for a plan (stop_at_end = false)")
            told.settings["markets"] = {"path": path, **settings}
            told.unsure = [one for one in told.unsure if "kind" not in one] + unsure


def _try(base: Path, one: Guess) -> None:
    """Read the first file as the settings say; what goes wrong is told."""
    faults = Faults("agent.toml")
    dataset: Dataset | None = build(Dataset, one.settings, "sources.files.datasets", faults)
    if dataset is None or faults.found:
        one.unsure += faults.found
        return
    if dataset.path is None:
        return
    first = one.files[0]
    try:
        asks = [] if dataset.ask_path is None else find_files(base, dataset.ask_path)
        ask = next((file for file in asks if len(asks) == 1 or _same_market(dataset, file, first)), None)
        tables = [] if dataset.markets is None else find_files(base, dataset.markets.path)
        files = [first] if ask is None else [first, ask]
        facts = MarketFacts(market_ends("files", dataset, tables))
        batch = read_batch("files", dataset, files, facts)
    except BadInput as error:
        one.unsure.append(f"reading {first.name} fails: {error.what}")
        return
    one.rows = batch.frame.head(_SHOWN)
    if batch.quarantined is not None and not batch.quarantined.is_empty():
        where, rule = batch.quarantined.row(0)[:2]
        one.unsure.append(f"{batch.quarantined.height} rows of {first.name} break a rule, the first: {where}: {rule}")


def _same_market(dataset: Dataset, one: Path, two: Path) -> bool:
    return name_from_file(dataset, one) == name_from_file(dataset, two)
