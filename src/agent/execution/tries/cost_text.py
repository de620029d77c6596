"""What a try took, in words."""

from __future__ import annotations

from agent.store.outputs.tries import Cost


def cost_lines(cost: Cost) -> list[str]:
    """What was computed, with seconds and rows, and what was found computed already."""
    found = f"{', '.join(cost.reused)}, {cost.rows_reused:,} rows" if cost.reused else "nothing"
    return [
        f"Computed {', '.join(cost.computed) or 'nothing'}: {cost.seconds:.1f} s, {cost.rows:,} rows.",
        f"Found computed already: {found}.",
    ]
