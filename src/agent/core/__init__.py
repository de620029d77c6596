"""Decisions as pure functions over values: what is stale and why, the plan, the states of a run. No I/O, no clock."""
