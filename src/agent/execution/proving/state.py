"""What a component's modules remember between two calls: globals, class attributes, defaults of arguments, caches."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection, Mapping
from types import FunctionType
from typing import Any

from pipelines.component import Component

_PLAIN = (type(None), bool, int, float, str, bytes, complex)
_DEPTH = 4


def remembered(files: Collection[str]) -> dict[str, str]:
    """Name -> what it holds, of all that the modules in `files` can keep between calls."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in files:
            for key, value in list(vars(module).items()):
                if not key.startswith("__"):
                    _add(found, f"{name}.{key}", value, name)
    return found


def _add(found: dict[str, str], name: str, value: Any, module: str) -> None:
    if isinstance(value, Component):
        value = value.function
    if hasattr(value, "cache_info"):
        found[f"{name} (a cache)"] = repr(value.cache_info()[2:])
    elif isinstance(value, FunctionType):
        found[f"{name} (defaults of its arguments)"] = _shown(value.__defaults__) + _shown(value.__kwdefaults__)
        found[f"{name} (its attributes)"] = _shown(vars(value))
    elif isinstance(value, type):
        if value.__module__ == module:
            for key, one in list(vars(value).items()):
                if not key.startswith("__") and (isinstance(one, FunctionType) or hasattr(one, "cache_info")):
                    _add(found, f"{name}.{key}", one, module)
                elif not key.startswith("__"):
                    found[f"{name}.{key}"] = _shown(one)
    else:
        found[name] = _shown(value)


def _shown(value: Any, depth: int = _DEPTH) -> str:
    """A text that is another where the value is; of a class it does not know, the attributes."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if depth == 0:
        return type(value).__name__
    if isinstance(value, Mapping):
        pairs = [f"{_shown(key, depth - 1)}: {_shown(one, depth - 1)}" for key, one in list(value.items())]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple | deque):
        return f"[{', '.join(_shown(one, depth - 1) for one in list(value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(_shown(one, depth - 1) for one in list(value)))}}}"
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict) and type(value).__module__ != "builtins" and not isinstance(value, type):
        return f"{type(value).__name__}{_shown(own, depth - 1)}"
    return type(value).__name__ + str(getattr(value, "shape", ""))
