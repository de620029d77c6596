"""What the dashboard gives back."""

from __future__ import annotations

import gc
import weakref

from dashboard.memory import give_back


class Looked:
    """Something that refers to itself, as widgets and their callbacks do."""

    def __init__(self) -> None:
        self.own = self


def test_what_refers_to_itself_alone_is_given_back() -> None:
    gc.disable()
    try:
        left = weakref.ref(Looked())
        assert left() is not None
        give_back()
        assert left() is None
    finally:
        gc.enable()
