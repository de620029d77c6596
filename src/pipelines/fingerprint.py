"""Fingerprints of code and settings. Pure: text and values in, hashes out.

Code is hashed by its tokens, not its text or syntax tree: comments, docstrings and formatting do not count, and Python
3.11 to 3.13 agree (ast.dump differs between them).
"""

from __future__ import annotations

import bisect
import io
import keyword
import token as token_kinds
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.snapshot import digest

if TYPE_CHECKING:
    import ast

# Raised by hand when the framework changes what components write (layout, hashing, partition keys).
FORMAT_VERSION = 2

MODULE_LEVEL = "<module>"

_LAYOUT = {token_kinds.NEWLINE, token_kinds.NL, token_kinds.COMMENT, token_kinds.ENCODING, token_kinds.ENDMARKER}
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_PATTERN_WORDS = {"match", "case"}  # `case (x,):` is a pattern, not a call; they are keywords in no other place


class _Token(NamedTuple):
    kind: int
    text: str
    line: int


_END = _Token(token_kinds.ENDMARKER, "", 0)


def source_hash(source: str) -> str:
    """Hash of what a Python file says to the interpreter.

    Left out: comments, blank lines, indentation width, line breaks, docstrings, redundant trailing commas, the prefix
    and quotes of plain strings. Raises SyntaxError or tokenize.TokenError where the text is not Python.
    """
    return digest(_normal_tokens(list(_significant(source))))


def code_version(sources: Mapping[str, str]) -> str:
    """Version of a component's code from the files it is made of: dotted module name -> source_hash of its text."""
    return digest(text for name in sorted(sources) for text in (name, sources[name]))


def settings_hash(settings: Any) -> str:
    """Hash of a settings dataclass by kind and value, so that 1, 1.0, "1" and True differ.

    Settings that do not count (`pipelines.settings.setting(counts=False)`) are left out.
    """
    return digest(_tagged(settings))


def definition_hashes(source: str) -> dict[str, tuple[str, int]]:
    """Top-level name -> (hash of its tokens, line it begins at), so that a change can be shown where it is.

    Functions, classes and assigned names; everything else at top level (imports, conditions, calls) is one entry named
    MODULE_LEVEL. What `source_hash` leaves out is left out here. Raises SyntaxError or tokenize.TokenError.
    """
    import ast

    statements = ast.parse(source).body
    first_lines = [_first_line(statement) for statement in statements]
    tokens: dict[str, list[_Token]] = {}
    lines: dict[str, int] = {}
    current = 0
    for item in _significant(source):
        if item.kind != token_kinds.DEDENT:  # placed on the line of the next statement, it ends the one before
            current = max(bisect.bisect_right(first_lines, item.line) - 1, 0)
        for name in _names(statements[current]) if statements else ():
            tokens.setdefault(name, []).append(item)
            lines.setdefault(name, statements[current].lineno)
    hashed = {name: [*_normal_tokens(items)] for name, items in tokens.items()}
    return {name: (digest(texts), lines[name]) for name, texts in hashed.items() if texts}


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _names(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement defines, or MODULE_LEVEL."""
    import ast

    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return []  # a docstring, or an ellipsis
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    nodes = (node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
    return sorted({node.id for node in nodes if isinstance(node.ctx, ast.Store)}) or [MODULE_LEVEL]


def _normal_tokens(tokens: list[_Token]) -> Iterator[str]:
    statement_start, depth, after_docstring = True, 0, False
    for index, (kind, text, _) in enumerate(tokens):
        if after_docstring:
            after_docstring = False
            continue  # the line end that belongs to it
        following = tokens[index + 1] if index + 1 < len(tokens) else _END
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
            if text == "," and following.text in (")", "]", "}") and _is_layout(tokens, index):
                continue
        is_docstring = kind == token_kinds.STRING and statement_start and depth == 0
        if is_docstring and following.kind in (token_kinds.NEWLINE, token_kinds.ENDMARKER):
            after_docstring = following.kind == token_kinds.NEWLINE
            continue
        statement_start = False
        yield f"{token_kinds.tok_name[kind]}:{_normal_text(kind, text)}"


def _significant(source: str) -> Iterator[_Token]:
    """Tokens that carry meaning. An f-string is one token up to Python 3.11 and several from 3.12 on: joined here."""
    opened: list[str] = []
    f_start, f_end = getattr(token_kinds, "FSTRING_START", None), getattr(token_kinds, "FSTRING_END", None)
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    lines = list(io.StringIO(source))
    begin = (0, 0)
    for item in tokenize.generate_tokens(iter(lines).__next__):
        if f_start is not None and item.type == f_start:
            if not opened:
                begin = item.start
            opened.append(item.string)
            continue
        if opened:
            if item.type == f_end:
                opened.pop()
                if not opened:
                    yield _Token(token_kinds.STRING, _between(lines, begin, item.end), begin[0])
            continue
        if item.type == token_kinds.NEWLINE or item.type in (token_kinds.INDENT, token_kinds.DEDENT):
            yield _Token(item.type, "", item.start[0])
        elif item.type not in _LAYOUT:
            yield _Token(item.type, item.string, item.start[0])


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return lines[first - 1][left:] + "".join(lines[first : last - 1]) + lines[last - 1][:right]


def _is_layout(tokens: list[_Token], comma: int) -> bool:
    """Whether the trailing comma at `comma` may go. In `(x,)` and `d[x,]` it makes the tuple and stays."""
    depth, commas = 0, 0
    for index in range(comma - 1, -1, -1):
        kind, text, _ = tokens[index]
        if kind == token_kinds.NAME and text == "lambda" and depth == 0:
            commas = 0  # those after it were of its parameters, not of a tuple
        step = _BRACKETS.get(text, 0) if kind == token_kinds.OP else 0
        if step == 1 and depth == 0:
            holds_items = text == "{" or (text == "(") == _is_applied(tokens, index)
            return holds_items or commas > 0
        depth -= step
        if depth == 0 and kind == token_kinds.OP and text == ",":
            commas += 1
    return False


def _is_applied(tokens: list[_Token], bracket: int) -> bool:
    """Whether the bracket calls, declares parameters or subscripts, rather than groups, makes a tuple or a list."""
    if bracket == 0:
        return False
    kind, text, _ = tokens[bracket - 1]
    if kind == token_kinds.NAME:
        return not keyword.iskeyword(text) and text not in _PATTERN_WORDS
    return kind == token_kinds.STRING or text in (")", "]", "}")


def _normal_text(kind: int, text: str) -> str:
    """Strings by value where that is plain, so that 'a' and "a" agree; everything else as written."""
    if kind != token_kinds.STRING or keyword.iskeyword(text):
        return text
    prefix = text[: len(text) - len(text.lstrip("rRbBuUfFtT"))].lower()
    if "f" in prefix or "t" in prefix:
        return text
    import ast
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape is for the interpreter to complain about
        return ascii(ast.literal_eval(text))  # repr differs between Pythons where Unicode grew


def counting_fields(settings: Any) -> list[Field[Any]]:
    """Fields of a settings dataclass that make its hash."""
    return [item for item in fields(settings) if item.metadata.get("counts", True)]


def _tagged(value: Any) -> Iterator[str]:
    """A value as a flat sequence of texts, each with its kind, containers with their length."""
    if is_dataclass(value) and not isinstance(value, type):
        counting = counting_fields(value)
        yield f"dataclass:{len(counting)}"
        for item in sorted(counting, key=lambda one: one.name):
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
