"""How many examples a slow property test tries: few in CI, as many as EXAMPLES says by hand."""

from __future__ import annotations

import os


def examples(in_ci: int) -> int:
    """`in_ci`, or the number in the environment variable EXAMPLES (the issues ask for 500)."""
    return int(os.environ.get("EXAMPLES", in_ci))
