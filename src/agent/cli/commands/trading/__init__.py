"""Commands of the trading agent."""
