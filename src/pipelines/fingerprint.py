"""Fingerprints of code and settings. Pure: text and values in, hashes out.

Code is hashed by its tokens, not its text or syntax tree: comments, docstrings and formatting do not count, and Python
3.11 to 3.14 agree (ast.dump differs between them).
"""

from __future__ import annotations

import io
import keyword
import token as token_kinds
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.snapshot import digest

# Raised by hand when the framework changes what components write (layout, hashing, partition keys).
FORMAT_VERSION = 1

_LAYOUT = {token_kinds.NEWLINE, token_kinds.NL, token_kinds.COMMENT, token_kinds.ENCODING, token_kinds.ENDMARKER}
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def source_hash(source: str) -> str:
    """Hash of what a Python file says to the interpreter.

    Left out: comments, blank lines, indentation width, line breaks, docstrings, redundant trailing commas, the prefix
    and quotes of plain strings. Raises SyntaxError or tokenize.TokenError where the text is not Python.
    """
    return digest(_normal_tokens(source))


def code_version(sources: Mapping[str, str]) -> str:
    """Version of a component's code from the files it is made of: dotted module name -> source_hash of its text."""
    return digest(text for name in sorted(sources) for text in (name, sources[name]))


def settings_hash(settings: Any) -> str:
    """Hash of a settings dataclass by kind and value, so that 1, 1.0, "1" and True differ."""
    return digest(_tagged(settings))


def _normal_tokens(source: str) -> Iterator[str]:
    statement_start, depth, after_docstring = True, 0, False
    pending = list(_significant(source))
    for index, (kind, text) in enumerate(pending):
        if after_docstring:
            after_docstring = False
            continue  # the line end that belongs to it
        following = pending[index + 1] if index + 1 < len(pending) else (token_kinds.ENDMARKER, "")
        if kind in (token_kinds.INDENT, token_kinds.DEDENT):
            yield "<indent>" if kind == token_kinds.INDENT else "<dedent>"
            statement_start = True
            continue
        if kind == token_kinds.NEWLINE:
            yield "<newline>"
            statement_start = True
            continue
        if kind == token_kinds.OP:
            depth += _BRACKETS.get(text, 0)
            if text == "," and following[1] in (")", "]", "}") and _more_than_one(pending, index):
                continue
        is_docstring = kind == token_kinds.STRING and statement_start and depth == 0
        if is_docstring and following[0] in (token_kinds.NEWLINE, token_kinds.ENDMARKER):
            after_docstring = following[0] == token_kinds.NEWLINE
            continue
        statement_start = False
        yield f"{token_kinds.tok_name[kind] if kind != token_kinds.NAME else 'NAME'}:{_normal_text(kind, text)}"


def _significant(source: str) -> Iterator[tuple[int, str]]:
    """Tokens that carry meaning. An f-string is one token up to Python 3.11 and several from 3.12 on: joined here."""
    opened: list[str] = []
    f_start, f_end = getattr(token_kinds, "FSTRING_START", None), getattr(token_kinds, "FSTRING_END", None)
    lines = source.splitlines(keepends=True)
    begin = (0, 0)
    for item in tokenize.generate_tokens(io.StringIO(source).readline):
        if f_start is not None and item.type == f_start:
            if not opened:
                begin = item.start
            opened.append(item.string)
            continue
        if opened:
            if item.type == f_end:
                opened.pop()
                if not opened:
                    yield token_kinds.STRING, _between(lines, begin, item.end)
            continue
        if item.type == token_kinds.NEWLINE or item.type in (token_kinds.INDENT, token_kinds.DEDENT):
            yield item.type, ""
        elif item.type not in _LAYOUT:
            yield item.type, item.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return lines[first - 1][left:] + "".join(lines[first : last - 1]) + lines[last - 1][:right]


def _more_than_one(tokens: list[tuple[int, str]], comma: int) -> bool:
    """Whether the trailing comma at `comma` may go: in `(x,)` it makes the tuple, elsewhere it is layout."""
    depth, commas = 0, 0
    for kind, text in reversed(tokens[:comma]):
        step = _BRACKETS.get(text, 0) if kind == token_kinds.OP else 0
        if step == 1 and depth == 0:
            return text != "(" or commas > 0
        depth -= step
        if depth == 0 and kind == token_kinds.OP and text == ",":
            commas += 1
    return False


def _normal_text(kind: int, text: str) -> str:
    """Strings by value where that is plain, so that 'a' and "a" agree; everything else as written."""
    if kind != token_kinds.STRING or keyword.iskeyword(text):
        return text
    prefix = text[: len(text) - len(text.lstrip("rRbBuUfFtT"))].lower()
    if "f" in prefix or "t" in prefix:
        return text
    import ast

    return repr(ast.literal_eval(text))


def _tagged(value: Any) -> Iterator[str]:
    """A value as a flat sequence of texts, each with its kind, containers with their length."""
    if is_dataclass(value) and not isinstance(value, type):
        yield f"dataclass:{len(fields(value))}"
        for item in sorted(fields(value), key=lambda one: one.name):
            yield item.name
            yield from _tagged(getattr(value, item.name))
    elif isinstance(value, Mapping):
        yield f"mapping:{len(value)}"
        for key in sorted(value):
            yield str(key)
            yield from _tagged(value[key])
    elif isinstance(value, list | tuple):
        yield f"sequence:{len(value)}"
        for item in value:
            yield from _tagged(item)
    elif isinstance(value, frozenset | set):
        yield from _tagged(sorted(value))
    elif isinstance(value, datetime | date):
        yield f"time:{value.isoformat()}"
    elif isinstance(value, timedelta):
        yield f"span:{value / timedelta(microseconds=1)!r}"
    elif value is None or isinstance(value, bool | int | float | str | Decimal):
        yield f"{type(value).__name__}:{value!r}"
    else:
        raise TypeError(f"a setting of type {type(value).__name__} cannot be hashed")
