"""The orchestrator of the market pipeline: state, staleness, plans, runs, leases, and what serves them."""
