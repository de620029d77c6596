"""Profiles: settings that go together, one TOML file each, named by --profile."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from agent.errors import NotFound
from agent.trading.config import Layer


def names() -> tuple[str, ...]:
    """All profiles, in alphabetical order."""
    found = (one.name for one in files(__name__).iterdir() if one.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml") for name in found))


def load(name: str) -> Layer:
    """The settings of a profile. Raises NotFound for a name that is not in `names`."""
    if name not in names():
        raise NotFound(f"there is no profile {name!r}", where="--profile", fix=f"choose one of: {', '.join(names())}")
    text = files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return Layer(f"profile {name}", tomllib.loads(text)["agent"])
