"""The risk rules, one file each; nothing lists them. `load` gives them in the order in which they judge."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import cast

from agent.trading.rule import Rule


@cache
def load() -> tuple[Rule, ...]:
    """All rules, by their PLACE."""
    modules = [importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
    return tuple(sorted((cast(Rule, one) for one in modules), key=lambda one: one.PLACE))
