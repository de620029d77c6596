"""Commands of the trading agent."""

TITLE = "the trader"
