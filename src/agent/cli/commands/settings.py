"""`agent settings`: the values in force and where each comes from; secrets are not shown."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from agent.cli.output import emit, plain
from agent.console import table
from agent.errors import NotFound
from agent.execution.workspace import read_settings
from agent.masking import masked
from agent.settings import SETTINGS_FILE, VARIABLES, environment_of, section_names
from pipelines.settings import read_toml

HELP = "Show every setting in force and where it comes from; secrets are hidden."

_HIDDEN = "(hidden)"


class Line(NamedTuple):
    """A setting in force. origin: default, agent.toml, .env or environment, with the variable's name."""

    section: str
    name: str
    value: Any
    origin: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("section", nargs="?", metavar="SECTION", help="only this one, such as model or sources.files")


def run(options: argparse.Namespace) -> int:
    """Print the settings. Raises SettingsError where they are wrong, as a run would."""
    settings, project = read_settings(options.project_dir)
    written = read_toml(settings.file)
    variables = environment_of(settings.base)
    from_outside = {VARIABLES[name]: f"{origin} {name}" for name, (_, origin) in variables.items()}
    parts = {
        **{name: settings.section(name) for name in section_names()},
        **{f"sources.{name}": values for name, values in project.source_settings.items()},
        **project.settings,
    }
    found = [
        Line("", name, getattr(settings, name), from_outside.get(name, "default")) for name in ("home", "trading_mode")
    ]
    for section, values in parts.items():
        found += _lines(section, values, _written(written, section), from_outside)
    if options.section is not None:
        found = [line for line in found if line.section == options.section]
        if not found:
            raise NotFound(
                f"there is no section {options.section!r} with settings",
                where=str(settings.file),
                fix=f"known are: {', '.join(parts)}",
            )
    # The value last: a list of datasets is hundreds of characters long, and would push what follows out of sight.
    rows = [(line.section, line.name, line.origin, _text(line.value)) for line in found]
    emit(options, [line._asdict() for line in found], table(rows, ("section", "setting", "from", "value")))
    return 0


def _lines(section: str, values: Any, written: Mapping[str, Any], outside: Mapping[str, str]) -> Iterator[Line]:
    for item in dataclasses.fields(values):
        value = plain(getattr(values, item.name))
        if item.metadata.get("secret"):
            value = _HIDDEN if value else "(not set)"
        else:
            value = _masked(value)
        origin = outside.get(f"{section}.{item.name}") or (SETTINGS_FILE if item.name in written else "default")
        yield Line(section, item.name, value, origin)


def _masked(value: Any) -> Any:
    """`value` with its texts masked, however deep they lie: a dataset's address may carry a password."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {name: _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list | tuple) else value


def _written(toml: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    found: Any = toml
    for name in section.split("."):
        found = found.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str:
    shown = plain(value)
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
