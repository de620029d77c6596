"""Modules that take long to import, imported when a test uses them first.

Every process of a test session imports every test module before it begins; what one room alone needs, scikit-learn or
Streamlit for a second each, need not be paid for by all of them.
"""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """Stands for a module; its attributes are the module's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest looks what this is
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
