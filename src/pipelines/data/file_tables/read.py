"""Finding and opening files: one lazy table a file, whatever its format, with the line or row each row came from.

Knows nothing of what the columns mean. Lines of JSON are flattened to columns with dotted names.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.file_tables.find import ARROW, COMPRESSED, JSON, JSON_LINES, PARQUET, SEPARATORS, format_of
from pipelines.data.file_tables.json_text import read_json_array, read_json_lines
from pipelines.data.file_tables.settings import Dataset, Value
from pipelines.data.file_tables.texts import TextRules, header_of, read_text_table
from pipelines.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

_AS_USUAL = TextRules()
LINE = "_line"  # column: number of the line (text files) or row (others), from 1
_HIVE = re.compile(r"(?:market|market_id|symbol|ticker|pair|name)=(.+)", re.IGNORECASE)  # a folder that says it
_HEAD_BYTES = 65_536
_SELECTOR = re.compile(r"(.*?)((?:\[\d+\])*)")
_BRACES = re.compile(r"\{([^{}]+)\}")


def name_from_file(dataset: Dataset, file: Path) -> str:
    """The market's name in a file's path: the group of market_pattern (in the file's name or, where it is not there, in
    the path), else a folder such as symbol=AA, else the file's name up to its first dot."""
    if dataset.market_pattern is None:
        return market_of_folder(file) or file.name.partition(".")[0]
    match = re.search(dataset.market_pattern, file.name) or re.search(dataset.market_pattern, file.as_posix())
    if match is None:
        raise BadInput(
            f"market_pattern {dataset.market_pattern!r} does not match the file's name",
            where=str(file),
            fix="correct the pattern, or narrow the path so that it leaves this file out",
        )
    return (dataset.market or "{market}").replace("{market}", match["market"])


def market_of_folder(file: Path) -> str | None:
    """The market that a folder such as symbol=AA says; None where none does."""
    match = next((match for part in file.parts[::-1] if (match := _HIVE.fullmatch(part))), None)
    return None if match is None else match[1]


def is_text_table(file: Path) -> bool:
    """Whether a file is a table of text, with separators."""
    return format_of(file) in SEPARATORS


def is_parquet(file: Path) -> bool:
    """Whether a file is Parquet, not compressed once more."""
    return format_of(file) in PARQUET and file.suffix.lower() in PARQUET


def text_of(file: Path) -> bytes:
    """The bytes of a table of text, decompressed. Raises BadInput."""
    try:
        return _bytes(file)
    except (OSError, EOFError, ValueError) as error:
        raise unreadable(file, error) from error


def separator_of(file: Path) -> str:
    """What stands between columns where the settings do not say, by the file's ending."""
    return SEPARATORS[format_of(file)]


def _head(file: Path) -> bytes:
    """The beginning of a table of text."""
    if file.suffix.lower() in COMPRESSED:
        return text_of(file)[:_HEAD_BYTES]
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(file, error) from error


def text_head(file: Path, count: int = 50) -> list[str]:
    """The first lines of a table of text that are not blank. Raises BadInput where there is none."""
    text = _head(file).decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise BadInput("the file is empty", where=str(file), fix="fill or remove it")
    # The last of many may be cut off.
    return lines[:count] if len(lines) > 1 else lines


def is_text(file: Path) -> bool:
    """Whether rows of this file are known by their line."""
    return format_of(file) in (*SEPARATORS, *JSON_LINES)


def open_table(file: Path, records: str | None = None, rules: TextRules = _AS_USUAL) -> pl.LazyFrame:
    """A file as a lazy table, with LINE. Columns of text files are text. Raises BadInput where it cannot be read."""
    import polars as pl

    form = format_of(file)
    if form in SEPARATORS:
        return _open_text(file, rules)
    try:
        if file.stat().st_size == 0:
            raise BadInput("the file is empty", where=str(file), fix="fill or remove it")
        if form == JSON:
            return _flatten(read_json_array(_bytes(file)).with_row_index(LINE, 1), records, file).lazy()
        if form in JSON_LINES:
            return _flatten(read_json_lines(_bytes(file)).with_row_index(LINE, 1), records, file).lazy()
        if form in ARROW:
            return pl.read_ipc(io.BytesIO(_bytes(file))).with_row_index(LINE, 1).lazy()
        if file.suffix in COMPRESSED:
            return pl.read_parquet(io.BytesIO(_bytes(file))).with_row_index(LINE, 1).lazy()
        table = pl.scan_parquet(file, glob=False, row_index_name=LINE, row_index_offset=1)
        table.collect_schema()
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError) as error:
        raise unreadable(file, error) from error
    return table


def column_names(file: Path, records: str | None = None, rules: TextRules = _AS_USUAL) -> list[str]:
    """The columns of a file, LINE left out; of a table of text only its beginning is read. Raises BadInput."""
    if format_of(file) in SEPARATORS:
        found = header_of(_head(file), rules.separator or SEPARATORS[format_of(file)], rules)
        if found is not None:
            return found
    return [name for name in open_table(file, records, rules).collect_schema().names() if name != LINE]


def is_panic(error: BaseException) -> bool:
    """Whether a native library gave up: it raises what is no Exception, so that it passes every ordinary handler."""
    return type(error).__name__ == "PanicException"


def unreadable(file: Path, error: BaseException) -> BadInput:
    """The error for a file that its format's reader refuses."""
    text = str(error).partition("\n")[0] or type(error).__name__
    return BadInput(f"the file cannot be read: {text}", where=str(file), fix="restore, complete or remove it")


def column(file: Path, names: Iterable[str], selector: str) -> pl.Expr:
    """The column that `selector` means: a name, or a name with positions in a list, such as bids[0].

    Raises BadInput, with the names that there are, where it is missing.
    """
    import polars as pl

    match = _SELECTOR.fullmatch(selector)
    assert match is not None  # the pattern takes any text
    name, positions = match.groups()
    known = list(names)
    second = f"{name}_duplicated_0"  # what a reader of text calls it
    if second in known and selector != second:
        raise BadInput(
            f"there are two columns {name!r}",
            where=str(file),
            fix=f"rename one of them in the file, or say in columns = {{…}} that it is the second one: {second!r}",
        )
    if selector in known:
        return pl.col(selector)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        there = [one for one in known if one != LINE]
        raise BadInput(
            f"there is no column {name!r}; there are {', '.join(there)}",
            where=str(file),
            fix=(f"did you mean {near[0]!r}? " if near else "") + "say in columns = {…} what it is called",
        )
    value = pl.col(name)
    for position in re.findall(r"\d+", positions):
        value = value.list.get(int(position), null_on_oob=True)
    return value


def template(file: Path, names: Iterable[str], text: str) -> pl.Expr:
    """A column of text: that of a name, or a text with columns in braces, null where one of them is."""
    import polars as pl

    known = list(names)
    if not _BRACES.search(text):
        return column(file, known, text).cast(pl.String)
    holes = [column(file, known, name).cast(pl.String) for name in _BRACES.findall(text)]
    return pl.format(_BRACES.sub("{}", text), *holes)


def only_where(table: pl.LazyFrame, where: Mapping[str, Value] | None, file: Path) -> pl.LazyFrame:
    """The rows that have the values `where` asks for. Raises BadInput for a column or a value that does not fit."""
    import polars as pl

    if not where:
        return table
    names = table.collect_schema().names()
    for name, wanted in where.items():
        values = list(wanted) if isinstance(wanted, tuple) else [wanted]
        given = column(file, names, name)
        kind = table.select(given.alias(name)).collect_schema()[name]
        if kind in (pl.Categorical, pl.Enum):
            given, kind = given.cast(pl.String), pl.String()
        if kind == pl.String:
            table = table.filter(pl.any_horizontal(_is_text(given.str.strip_chars(), value) for value in values))
            continue
        if any(isinstance(value, str) or isinstance(value, bool) != (kind == pl.Boolean) for value in values):
            raise BadInput(
                f"where: {name} = {wanted!r} does not fit a column of {kind}",
                where=str(file),
                fix="give a value of the column's type",
            )
        table = table.filter(pl.any_horizontal(given == value for value in values))
    return table


def _is_text(given: pl.Expr, value: Value) -> pl.Expr:
    """Whether a column of text says `value`, however it writes truth (true, True, 1) and numbers (1, 1.0)."""
    import polars as pl

    if isinstance(value, bool):
        words = ("true", "1", "yes", "t") if value else ("false", "0", "no", "f")
        return given.str.to_lowercase().is_in(words)
    if isinstance(value, int | float):
        return given.cast(pl.Float64, strict=False) == value
    return given == pl.lit(value)


def _bytes(file: Path) -> bytes:
    """A file's content, decompressed by its ending."""
    import pyarrow as pa

    if file.suffix.lower() == ".zip":
        return _only_member(file)
    if file.suffix.lower() not in COMPRESSED:
        return file.read_bytes()
    with pa.input_stream(str(file), compression="detect") as stream:
        content: bytes = stream.read()
    return content


def _only_member(file: Path) -> bytes:
    """The one file in a zip archive. Raises BadInput for several."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
            if len(names) == 1:
                return archive.read(names[0])
    except zipfile.BadZipFile as error:
        raise unreadable(file, error) from error
    raise BadInput(
        f"the archive holds {len(names)} files: {', '.join(names[:3])}",
        where=str(file),
        fix="unpack it: each file of an archive is read by itself",
    )


def _open_text(file: Path, rules: TextRules) -> pl.LazyFrame:
    return read_text_table(text_of(file), SEPARATORS[format_of(file)], rules, file, LINE).lazy()


def _flatten(lines: pl.DataFrame, records: str | None, file: Path) -> pl.DataFrame:
    """Records inside lines of JSON as rows: `mc[].rc[]` gives columns pt, mc.id, mc.rc.ltp and so on."""
    if records is None:
        return lines
    name = ""
    for step in records.split("."):
        name = f"{name}.{step}" if name else step
        is_list = name.endswith("[]")
        name = name.removesuffix("[]")
        column(file, lines.columns, name)
        if is_list:
            lines = lines.explode(name)
        lines = lines.unnest(name, separator=".")
    return lines
