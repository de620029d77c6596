"""Which part of a file's name is the market, and which path means just these files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipelines.data.file_tables.find import find_files, stem
from pipelines.data.file_tables.read import market_of_folder
from pipelines.errors import BadInput
from pipelines.values import dataclass

_SIGN = "[-_. ]"
_DATE = r"(?:19|20)\d{2}(?:[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?[0-3]\d)?)?"
_SIDE = "(?:bid|ask)"
_WORDS = (
    r"(?:trades?|aggtrades|quotes?|ticks?|candles?|klines?|ohlcv?|bars?|prices?|data|history|daily|hourly|minute|second"
    r"|weekly|monthly|futures|part|\d{1,3}(?:s|sec|m|min|h|hour|d|day|w|mo)|[mh]\d{1,3}|[dw]1|1M)"
)
# What is no part of the name; on the last level a word is put after it.
_LEVELS = (f"(?:{_DATE}|{_SIDE}|{_WORDS}|\\d{{1,4}})", f"(?:{_DATE}|{_SIDE})", "")
_IS_DATE = re.compile(rf"{_DATE}(?:{_SIGN}{_WORDS})*|{_WORDS}{_SIGN}{_DATE}", re.IGNORECASE)
_UNITS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600}
_CALENDARS = {"d": "day", "day": "day", "w": "week", "mo": "month", "M": "month"}
_INTERVAL = re.compile(rf"{_SIGN}(?:(\d{{1,3}})(s|sec|m|min|h|hour|d|day|w|mo|M)|([mhdwMHDW])(\d{{1,3}}))(?={_SIGN}|$)")
_NAMED: dict[str, int | str] = {
    "daily": "day",
    "hourly": 3600,
    "weekly": "week",
    "monthly": "month",
    "minute": 60,
    "second": 1,
}
LEVELS = len(_LEVELS) + 1


@dataclass(frozen=True)
class Naming:
    """How files name their market: settings (market or market_pattern, or none where the usual rule does it)."""

    market: str | None
    pattern: str | None
    names: tuple[str, ...]  # of each file


def shape(file: Path) -> str:
    """What files of one kind have in common in their names: format, and the words that are neither name nor date."""
    words = re.findall(rf"{_SIGN}({_WORDS}|{_SIDE})(?={_SIGN}|$)", stem(file), re.IGNORECASE)
    return "|".join([*(word.lower() for word in words), file.name[len(stem(file)) :]])


def interval_in_name(file: Path) -> int | str | None:
    """The length of a bar that a file's name says (btc-5m, eurusd_h1), or a folder such as daily; None for none."""
    for part in (stem(file), f"-{file.parent.name}"):
        match = _INTERVAL.search(part)
        if match is not None:
            count, unit = (match[1], match[2]) if match[1] else (match[4], match[3].lower())
            if unit in _CALENDARS and int(count) == 1:
                return _CALENDARS[unit]
            if unit in _UNITS and int(count):
                return int(count) * _UNITS[unit]
        word = next((one for one in re.split(_SIGN, part.lower()) if one in _NAMED), None)
        if word is not None:
            return _NAMED[word]
    return None


def naming(files: Sequence[Path], level: int, word: str) -> Naming:
    """The names of markets in files; a higher `level` leaves more of the file's name in, so that they differ more. On
    the last one `word` follows the name."""
    if level < len(_LEVELS):
        return _named(files, level)
    plain = _named(files, 0)
    names = tuple(f"{name}-{word}" for name in plain.names)
    if plain.market is not None:
        return Naming(f"{plain.market}-{word}", None, names)
    return Naming(f"{{market}}-{word}", plain.pattern or "^(?P<market>[^.]+)", names)


def _named(files: Sequence[Path], level: int) -> Naming:
    tail = _LEVELS[level]
    endings = "|".join(sorted({_escaped(file.name[len(stem(file)) :]) for file in files}))
    rest = rf"(?:{_SIGN}{tail})*(?:{endings})$" if tail else rf"(?:{endings})$"
    pattern = rf"^(?P<market>.+?){rest}"
    names = [_market(pattern, file) for file in files]
    folders = {file.parent for file in files}
    by_folder = [market_of_folder(file) for file in files]
    if all(by_folder):
        return Naming(None, None, tuple(map(str, by_folder)))
    is_word = all(re.fullmatch(_WORDS, name, re.IGNORECASE) for name in names) and len(folders) == len(files)
    if is_word or all(_IS_DATE.fullmatch(name) for name in names):
        pattern = r"(?P<market>[^/]+)/[^/]*$"  # AAPL/2020.csv, AAPL/1h.csv
        names = [file.parent.name for file in files]
    elif len({(name, file.parent) for name, file in zip(names, files, strict=True)}) > len(set(names)):
        if all(_IS_DATE.fullmatch(folder.name) for folder in folders):
            pattern = rf"(?P<market>[^/]+?){rest}"  # 2020/AAPL.csv
        else:
            pattern = rf"(?P<market>[^/]+/[^/]+?){rest}"  # one name in two folders
            names = [f"{file.parent.name}/{name}" for name, file in zip(names, files, strict=True)]
        return Naming(None, pattern, tuple(names))
    if all(name == file.name.partition(".")[0] for name, file in zip(names, files, strict=True)):
        return Naming(None, None, tuple(names))
    if len(set(names)) == 1:
        return Naming(names[0], None, tuple(names))
    return Naming(None, _shortest(pattern, files, names), tuple(names))


def _market(pattern: str, file: Path) -> str:
    match = re.search(pattern, file.name, re.IGNORECASE)
    return stem(file) if match is None else match["market"]


def _shortest(pattern: str, files: Sequence[Path], names: Sequence[str]) -> str:
    """A pattern as short as a person would write it, where it gives the same names."""
    rests = {file.name[len(name) :] for file, name in zip(files, names, strict=True) if file.name.startswith(name)}
    plain = [rf"^(?P<market>.+){_escaped(rest)}$" for rest in rests] if len(rests) == 1 else []
    plain.append(rf"^(?P<market>.+?){_SIGN}{_DATE}")
    for shorter in plain:
        found = [re.search(shorter, file.name) for file in files]
        if all(match and match["market"] == name for match, name in zip(found, names, strict=True)):
            return shorter
    return f"(?i){pattern}"


def _escaped(text: str) -> str:
    return re.escape(text).replace(r"\-", "-")


def path_of(base: Path, files: Sequence[Path]) -> str | list[str]:
    """The shortest path (file, folder or glob, relative to `base`) that means these files and no other, or globs of
    years; else a list."""
    wanted = sorted(files)
    relative = [file.relative_to(base).as_posix() if file.is_relative_to(base) else file.as_posix() for file in wanted]
    if len(relative) == 1:
        return relative[0]
    for pattern in _globs(wanted, base):
        try:
            found = sorted(find_files(base, pattern))
        except BadInput:
            continue
        if found == wanted:
            return pattern if isinstance(pattern, str) else list(pattern) if len(pattern) > 1 else pattern[0]
    return relative


def _globs(files: Sequence[Path], base: Path) -> Iterable[str | tuple[str, ...]]:
    parents = {file.parent for file in files}
    root = next(iter(parents)) if len(parents) == 1 else _common(list(parents))
    folder = root.relative_to(base).as_posix() if root.is_relative_to(base) else root.as_posix()
    prefix = "" if folder == "." else f"{folder}/"
    inner = "" if len(parents) == 1 else "**/"
    names = [file.name for file in files]
    # Whole words, and no dates: a glob of "-2024-0*" would leave out what comes in October, and next year.
    first = re.sub(rf"({_SIGN}?\d+)*$", "", _shared(names))
    last = re.sub(r"^[^-_. ]*", "", _shared([name[::-1] for name in names])[::-1])
    ending = files[0].name[len(stem(files[0])) :]
    yield f"{prefix}{inner}*{ending}"
    ends = [last[at:] for at in range(len(last) - 1, -1, -1) if last[at] in "-_ " and at < len(last) - len(ending)]
    yield from (f"{prefix}{inner}*{end}" for end in ends)
    yield f"{prefix}{inner}{first}*{ending}"
    yield from (f"{prefix}{inner}{first}*{end}" for end in ends if len(first) + len(end) <= min(map(len, names)))
    years = sorted({match[0] for name in names if (match := re.search(r"(?:19|20)\d{2}", name[len(first) :]))})
    yield tuple(f"{prefix}{inner}{first}*{year}*{ending}" for year in years)


def _shared(names: Sequence[str]) -> str:
    low, high = min(names), max(names)
    count = next(
        (n for n, (one, two) in enumerate(zip(low, high, strict=False)) if one != two), min(len(low), len(high))
    )
    return low[:count]


def _common(folders: Sequence[Path]) -> Path:
    first = folders[0]
    return next(one for one in (first, *first.parents) if all(other.is_relative_to(one) for other in folders))
