"""Tables written as text: what the bytes are, and one column of text for each column of the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import BadInput
from pipelines.values import dataclass

if TYPE_CHECKING:
    import polars as pl

_LOOKED_AT = 1_000  # bytes, for an encoding whose mark is missing
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class TextRules:
    """How a table is written: between columns (None: by the file's ending), and whether its first line has names."""

    separator: str | None = None
    header: bool = True


def read_text_table(data: bytes, separator: str, rules: TextRules, file: Path, line_column: str) -> pl.DataFrame:
    """The table in `data`, columns of text, blank lines left out, `line_column` the number of each line. Without a
    header columns are called column_1, column_2 and so on. Raises BadInput with the line that does not fit."""
    import polars as pl

    if data.startswith(_UTF_16) or data[:_LOOKED_AT].count(0) > len(data[:_LOOKED_AT]) // 4:
        raise BadInput(
            "the file is UTF-16 text", where=str(file), fix="save it as UTF-8, such as by iconv -f UTF-16 -t UTF-8"
        )
    if not data.strip():
        raise BadInput("the file is empty", where=str(file), fix="fill or remove it")
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    separator = rules.separator or separator
    _refuse_other_encoding(data, file)
    try:
        table = pl.read_csv(data, separator=separator, has_header=rules.header, infer_schema=False)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        opened, line = _unclosed(data, separator), _odd_line(data, separator)
        if opened is not None:
            raise BadInput(
                f"the quote that opens in line {opened} is never closed",
                where=f"{file}, line {opened}",
                fix="close it, or remove it",
            ) from error
        if line is None:
            text = str(error).partition("\n")[0] or type(error).__name__
            raise BadInput(
                f"the file cannot be read: {text}", where=str(file), fix="restore, complete or remove it"
            ) from error
        raise BadInput(
            f"line {line[0]} has {line[1]} fields, the {'header' if rules.header else 'first'} has {line[2]}",
            where=f"{file}, line {line[0]}",
            fix="correct the line: a missing quote or a decimal comma is the usual cause; where columns are separated "
            'by another sign, set separator = ";"',
        ) from error
    if not rules.header:
        table.columns = [f"column_{number}" for number in range(1, table.width + 1)]
    lines = _lines_of_rows(data, separator, rules.header, table.height)
    table = table.with_row_index(line_column, 2 if rules.header else 1)
    if lines is not None:
        table = table.with_columns(pl.Series(line_column, lines, dtype=pl.UInt32))
    return without_blank_rows(table, (line_column,))


def _refuse_other_encoding(data: bytes, file: Path) -> None:
    """Raise BadInput for text that is not UTF-8, with the line where that shows."""
    if data.isascii():
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"line {line} is not UTF-8 text",
            where=f"{file}, line {line}",
            fix="save the file as UTF-8, such as by iconv -f WINDOWS-1252 -t UTF-8",
        ) from error


def _lines_of_rows(data: bytes, separator: str, header: bool, count: int) -> list[int] | None:
    """The line at which each row begins, where lines end inside of quoted cells; None where every row is a line."""
    if b'"' not in data or data.rstrip(b"\r\n").count(b"\n") + 1 == count + header:
        return None
    reader = csv.reader(io.StringIO(data.decode("utf-8")), delimiter=separator)
    begins, line = [], 1
    try:
        for _ in reader:
            begins.append(line)
            line = reader.line_num + 1
    except csv.Error:
        return None
    begins = begins[1:] if header else begins
    return begins if len(begins) == count else None


def without_blank_rows(table: pl.DataFrame, places: tuple[str, ...]) -> pl.DataFrame:
    """The rows of a table of text that say something; columns `places` are no part of what they say."""
    import polars as pl

    values = pl.exclude(*places)
    return table.filter(~pl.all_horizontal(values.is_null() | (values.str.strip_chars() == "")))


def header_of(head: bytes, separator: str, rules: TextRules) -> list[str] | None:
    """The columns in the beginning of a table; None where that does not tell: it is to be read whole."""
    first, end, _ = head.partition(b"\n")
    is_plain = end and not head.startswith(_UTF_16) and b'"' not in first and first.strip() and b"\r" not in first[:-1]
    if not is_plain or not rules.header:
        return None
    try:
        names = first.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf").decode().split(separator)
    except UnicodeDecodeError:
        return None
    return names if len(set(names)) == len(names) and all(names) else None


def join_texts(texts: Sequence[bytes], header: bool) -> tuple[bytes, list[int]] | None:
    """Tables of text of one header as one, and how many lines each has after its header; None where only reading them
    one by one tells: headers that differ, quoted cells (a line may end inside one), other encodings, no line at all."""
    bodies, lengths, first = [], [], None
    for text in texts:
        head, end, body = text.partition(b"\n") if header else (b"", b"\n", text)
        if first is None:
            first = head
        if head != first or not end or not body.strip() or b'"' in text or text.startswith(_UTF_16):
            return None
        body = body.rstrip(b"\r\n") + b"\n"
        if b"\r" in body.replace(b"\r\n", b""):
            return None
        bodies.append(body)
        lengths.append(body.count(b"\n"))
    joined = b"".join(bodies)
    return (b"%s\n%s" % (first, joined) if header else joined), lengths


def _unclosed(data: bytes, separator: str) -> int | None:
    """The line of the last row where a quote in it stays open until the end of the file."""
    reader = csv.reader(io.StringIO(data.decode("utf-8")), delimiter=separator, strict=True)
    line = 1
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error as error:
        return line if "end of data" in str(error) else None
    return None


def _odd_line(data: bytes, separator: str) -> tuple[int, int, int] | None:
    """Number, fields and expected fields of the first line with too many; None where that is not the fault."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8")), delimiter=separator)
        expected = len(next(reader))
        return next(((reader.line_num, len(row), expected) for row in reader if len(row) > expected), None)
    except (UnicodeDecodeError, csv.Error):
        return None
