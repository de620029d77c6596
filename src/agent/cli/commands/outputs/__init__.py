"""Commands about outputs and releases."""
