"""`agent init`: an agent.toml with every section and setting, each at its default and explained, to start from."""

from __future__ import annotations

import argparse
import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from agent.cli.datasets import add_datasets
from agent.cli.output import emit
from agent.errors import UsageError
from agent.settings import SETTINGS_FILE, section_class, section_names
from pipelines.data.guessing.block import toml_text
from pipelines.data.guessing.guess import guess
from pipelines.errors import PipelineError
from pipelines.plugins.discovery import load_components, load_source, settings_of_source, source_names, summary
from pipelines.project import DEFAULT_SOURCE
from pipelines.settings import describe

HELP = "Write an agent.toml with every setting explained, and let git ignore what is computed."

_HEAD = """\
# Settings of a Tidemill project. Every setting stands here with its default: take the `#` off a line to change it.
# `agent settings` shows what is in force and where it comes from; environment variables go first (see .env).

[project]
# modules = []  # own components: Python files relative to this one, or dotted names
"""
_IGNORED = ".tidemill/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="a folder (or file) with data of your own: look at it, and set how it is read",
    )


def run(options: argparse.Namespace) -> int:
    """Write both files. Raises UsageError where there is an agent.toml already, or no data where some was to be."""
    folder = (options.project_dir or Path.cwd()).resolve()
    path = folder / SETTINGS_FILE
    found = None if options.data is None or path.exists() else guess(folder, [options.data.resolve()])
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(with_sample=found is None))
        written = [str(path), *_ignore(folder)]
    except FileExistsError:
        raise UsageError(
            "there is an agent.toml here already",
            where=str(path),
            fix="edit it (`agent settings` shows what is in force), or move it away first",
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write: {error.strerror or error}", where=str(error.filename), fix="check the folder's permissions"
        ) from error
    text = "\n".join(f"written: {one}" for one in written)
    if found is not None:
        try:
            add_datasets(folder, found)
        except PipelineError:
            path.unlink()
            raise
        text = f"{toml_text(found)}\n\n{text}"
    emit(options, {"written": written}, f"{text}\nnext: agent run")
    return 0


def template(*, with_sample: bool = True) -> str:
    """The text of an agent.toml that changes nothing; without the sample where data of one's own is to be named."""
    parts = [_HEAD]
    for name in source_names():
        cls = settings_of_source(load_source(name))
        title = f"# {summary('sources', name)}"
        if name == DEFAULT_SOURCE and with_sample:
            parts.append("\n".join([title, f"[sources.{name}]", *_settings(cls, f"sources.{name}")]))
        else:
            head = [title, f"# [sources.{name}]"]
            parts.append("\n".join([*head, *_settings(cls, f"sources.{name}")]))
    for name, component in load_components().items():
        if dataclasses.fields(component.settings):
            parts.append("\n".join([f"[{name}]", *_settings(component.settings, name)]))
    parts += ["\n".join([f"[{name}]", *_settings(section_class(name), name)]) for name in section_names()]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _settings(cls: type[Any], section: str) -> Iterator[str]:
    """A commented line a setting; tables of tables come last, as TOML wants them."""
    hints = typing.get_type_hints(cls)
    nested = []
    for one in describe(cls):
        inner = _table_of(hints[one["name"]])
        if inner is not None:
            nested.append((one, inner))
            continue
        value = _toml(one["default"])
        yield f"# {one['name']} = {value}{_comment(one)}"
    for one, inner in nested:
        brackets = ("[[", "]]") if inner[1] else ("[", "]")
        name = f"{section}.{one['name']}"
        yield f"# {brackets[0]}{name}{brackets[1]}{_comment(one)}"
        yield from _settings(inner[0], name)


def _table_of(hint: Any) -> tuple[type[Any], bool] | None:
    """The settings class inside a hint, and whether it is a list of them."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint, False
    for inner in get_args(hint):
        found = _table_of(inner)
        if found is not None:
            return found[0], get_origin(hint) is tuple
    return None


def _comment(one: Mapping[str, Any]) -> str:
    unit = f" [{one['unit']}]" if one["unit"] else ""
    kinds = f"; {one['type']}" if one["type"].startswith("one of") else ""
    span = ""
    if one["low"] is not None or one["high"] is not None:
        low, high = ("" if one[name] is None else str(one[name]) for name in ("low", "high"))
        span = f" ({low} to {high})" if low and high else f" (at least {low})" if low else f" (at most {high})"
    return f"  # {one['doc'] or one['type']}{kinds}{unit}{span}"


def _toml(value: Any) -> str:
    """A default as TOML has it; nothing where there is none, since TOML has no null."""
    if value is None or value == "required":
        return "…"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False)  # text, numbers, true and false: the same in both


def _ignore(folder: Path) -> list[str]:
    """Add the working folder to .gitignore unless it is there."""
    path = folder / ".gitignore"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if _IGNORED in text.splitlines():
        return []
    path.write_text(text + ("" if not text or text.endswith("\n") else "\n") + _IGNORED + "\n", encoding="utf-8")
    return [str(path)]
