"""Where tests find what lies outside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
SHARED_DATA = SHARED / "data"

RECORDINGS = SHARED / "recordings"

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"the recorded replies are not here: {RECORDINGS} does not exist"
)
needs_shared_data = pytest.mark.skipif(
    not SHARED_DATA.is_dir(), reason=f"the real market data is not here: {SHARED_DATA} does not exist"
)
