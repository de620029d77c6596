"""Settings from agent.toml: each plug-in's own section, checked together, all faults reported at once.

A settings class is a frozen dataclass whose fields are made by `setting(...)`: a default, a sentence, a unit, bounds.
(pydantic would do the same; importing it costs a third of what a run with nothing to do may take. See docs/decisions.)
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pipelines.errors import SettingsError
from pipelines.fingerprint import counting_fields
from pipelines.values import dataclass

FRACTION, PERCENT = "fraction", "percent"


def setting(
    default: Any = MISSING,
    doc: str = "",
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    secret: bool = False,
    counts: bool = True,
) -> Any:
    """A field of a settings class. `low` and `high` are hard bounds, both allowed, `above` one that is not;
    `secret` keeps it out of dumps. unit: FRACTION and PERCENT say in a message what a value out of bounds would mean.

    `counts` off: it says when to compute, not what, so that changing it makes nothing stale.
    """
    facts = {"doc": doc, "unit": unit, "low": low, "high": high, "above": above, "secret": secret, "counts": counts}
    if default is MISSING:
        return dataclasses.field(metadata=facts)
    return dataclasses.field(default=default, metadata=facts)


@dataclass
class Faults:
    """Faults found so far, to be reported together. `file` is where they are looked for, `files` where some were."""

    file: str
    found: list[str] = dataclasses.field(default_factory=list)
    files: list[str] = dataclasses.field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        self.found.append(f"[{where}] {what}")
        self.files.append(self.file)

    def add_texts(self, texts: Sequence[str]) -> None:
        """Add what another process found in the same file."""
        self.found += texts
        self.files += [self.file] * len(texts)

    def take(self, other: Faults) -> None:
        """Add what was found elsewhere, such as in the environment."""
        self.found += other.found
        self.files += other.files

    def raise_if_any(self) -> None:
        """Raise SettingsError that names every fault."""
        if not self.found:
            return
        count = "a setting is" if len(self.found) == 1 else f"{len(self.found)} settings are"
        raise SettingsError(
            f"{count} wrong:\n    " + "\n    ".join(self.found),
            where=", ".join(dict.fromkeys(self.files)),
            fix="correct the lines above; nothing was run and nothing was changed",
        )


def read_toml(path: Path) -> dict[str, Any]:
    """The content of agent.toml; an empty mapping where there is no such file. Raises SettingsError on bad TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, OSError) as error:
        raise _unreadable(path, error) from error
    import tomllib  # not where there is no such file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SettingsError:
    return SettingsError(f"cannot read the settings: {error}", where=str(path), fix="correct the file")


def build(cls: type[Any], values: Mapping[str, Any], where: str, faults: Faults) -> Any:
    """An instance of settings class `cls` from a TOML section. Faults go to `faults`, with the default in their place.
    A class variable MOVED names settings of earlier versions, and for each the line to write instead.

    Returns None where a required value is missing.
    """
    hints = _hints(cls)
    known = {item.name: item for item in dataclasses.fields(cls)}
    for name in values:
        if name not in known:
            faults.add(where, _unknown(cls, name, known))
    good: dict[str, Any] = {}
    missing = False
    for name, item in known.items():
        if name not in values:
            if item.default is MISSING and item.default_factory is MISSING:
                faults.add(where, f"{name!r} is required ({item.metadata.get('doc', '')})")
                missing = True
            continue
        before = len(faults.found)
        value = _convert(hints[name], values[name], where, name, faults)
        if len(faults.found) == before:
            _check_bounds(value, item, where, faults)
        if len(faults.found) == before:
            good[name] = value
        elif item.default is MISSING and item.default_factory is MISSING:
            missing = True
    if missing:
        return None
    instance = cls(**good)
    check = getattr(instance, "check", None)
    if check is not None:
        for fault in check():
            faults.add(where, fault)
    return instance


def _unknown(cls: type[Any], name: str, known: Collection[str]) -> str:
    moved: Mapping[str, str] = getattr(cls, "MOVED", {})
    if name in moved:
        return f"{name!r} is set elsewhere now: {moved[name]}"
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(known) or 'none'}"
    return f"unknown setting {name!r}{hint}"


def describe(cls: type[Any]) -> list[dict[str, Any]]:
    """Name, type, default, unit, bounds and sentence of each setting of `cls`, for the reference and `--help`."""
    hints = _hints(cls)
    rows = []
    for item in dataclasses.fields(cls):
        default = item.default if item.default is not MISSING else "required"
        if item.default_factory is not MISSING:
            default = item.default_factory()
        facts = {key: item.metadata.get(key) for key in ("doc", "unit", "low", "high", "above", "secret")}
        rows.append({"name": item.name, "type": _type_name(hints[item.name]), "default": default, **facts})
    return rows


def public_values(instance: Any) -> dict[str, Any]:
    """The values of a settings dataclass as plain JSON types, secrets left out: for state rows, dumps and logs."""
    return {
        item.name: _jsonable(getattr(instance, item.name))
        for item in dataclasses.fields(instance)
        if not item.metadata.get("secret")
    }


def counted_values(instance: Any) -> dict[str, Any]:
    """`public_values` without the settings that do not count: those that say when to compute explain no recompute."""
    counting = {item.name for item in counting_fields(instance)}
    return {name: value for name, value in public_values(instance).items() if name in counting}


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return public_values(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _check_bounds(value: Any, item: dataclasses.Field[Any], where: str, faults: Faults) -> None:
    low, high, above, unit = (item.metadata.get(key) for key in ("low", "high", "above", "unit"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    too_low = (low is not None and value < low) or (above is not None and value <= above)
    if too_low or (high is not None and value > high) or value != value:
        least = low if above is None else f"above {above}"
        if unit in (FRACTION, PERCENT):
            faults.add(where, f"{item.name} = {value:.12g} is {_in_words(value, unit, least, high)}")
            return
        span = f"{least if least is not None else '-inf'} to {high if high is not None else 'inf'}"
        faults.add(where, f"{item.name} = {value!r} is out of bounds: {span}{' ' + unit if unit else ''}")


def _in_words(value: float, unit: str, least: Any, most: float | None) -> str:
    """What a share out of bounds would mean, and what was probably meant: 2 for 2 % of a field that wants 0.02."""
    percent = value * 100 if unit == FRACTION else value
    bounds = [] if least is None else [str(least) if str(least).startswith("above") else f"at least {least}"]
    bounds += [] if most is None else [f"at most {most}"]
    meant = value / 100
    hint = ""
    if unit == FRACTION and most is not None and most < value and meant <= most:
        hint = f". For {value:.12g} % write {meant:.12g}"
    return f"{percent:.12g} %; {' and '.join(bounds)}{hint}"


def _convert(hint: Any, value: Any, where: str, name: str, faults: Faults) -> Any:
    """`value` as type `hint`, or a fault. Whole numbers pass as floats; nothing else is converted by guess."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(hint, value, where, name, faults)
    if origin is Literal:
        return _convert_literal(args, value, where, name, faults)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(args[0], one, where, f"{name}[{n}]", faults) for n, one in enumerate(value))
    if isinstance(value, dict):
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {key: _convert(args[1], one, where, f"{name}.{key}", faults) for key, one in value.items()}
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return build(hint, value, f"{where}.{name}", faults)
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    faults.add(where, f"{name} = {value!r} is not {_type_name(hint)}")
    return None


def _convert_union(hint: Any, value: Any, where: str, name: str, faults: Faults) -> Any:
    inner = [arg for arg in get_args(hint) if arg is not type(None)]
    for arg in inner:
        trial = faults if len(inner) == 1 else Faults(faults.file)
        before = len(trial.found)
        result = _convert(arg, value, where, name, trial)
        if len(inner) == 1 or len(trial.found) == before:
            return result
    words = [word for arg in inner if get_origin(arg) is Literal for word in get_args(arg)]
    faults.add(where, f"{name} = {value!r} is not {_type_name(hint)}{_near(value, words)}")
    return None


def _convert_literal(allowed: tuple[Any, ...], value: Any, where: str, name: str, faults: Faults) -> Any:
    if value in allowed and type(value) in {type(one) for one in allowed}:
        return value
    faults.add(where, f"{name} = {value!r} is not {_type_name(Literal[allowed])}{_near(value, allowed)}")
    return None


def _near(value: Any, words: Sequence[Any]) -> str:
    """What was probably meant, as the end of a message; nothing where no word is like it."""
    import difflib

    near = difflib.get_close_matches(str(value), [str(one) for one in words], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _type_name(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(arg) for arg in args)
    if origin is tuple:
        return f"a list of {_type_name(args[0])}"
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(arg) for arg in args if arg is not type(None))
    if dataclasses.is_dataclass(hint) or origin is not None:
        return "a table"
    return names.get(hint, str(hint))
