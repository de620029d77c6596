"""What the error for rows that break a rule offers, as a line of agent.toml: written here, and read again by pages that
make a button of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

_BEGIN, _END = "set on_bad_rows = ", " under [ticks]"


def offer_of(rule: str, left_out: Sequence[str]) -> str:
    """The setting that leaves rows out which break `rule`, beside those that it leaves out already."""
    # A JSON list of texts is one of TOML as well.
    return f"{_BEGIN}{json.dumps([*left_out, rule], ensure_ascii=False)}{_END}"


def offered_rule(error: str) -> str | None:
    """The rule whose rows `error` offers to leave out; None where it offers nothing. The last offer counts: what rows
    of data say comes before it."""
    before, found, after = error.rpartition(_BEGIN)
    try:
        rules = json.loads(after.partition(_END)[0]) if found and before else None
    except ValueError:
        return None
    return rules[-1] if isinstance(rules, list) and rules and isinstance(rules[-1], str) else None
