"""The trading agent with real databases."""
