"""The trading agent, pure parts."""
