"""What a try took, in words."""

from __future__ import annotations

from agent.store.outputs.tries import Cost


def cost_lines(cost: Cost) -> list[str]:
    """What was computed, with seconds and rows, and what was found computed already."""
    return [
        f"Computed {', '.join(cost.computed) or 'nothing'}: {cost.seconds:.1f} s, {cost.rows:,} rows.",
        f"Found computed already: {', '.join(cost.reused) or 'nothing'}.",
    ]
