"""The trading agent: decides with pure functions, writes down what it intends, sends, and asks before it sends again.

A trader is a process of its own. A pipeline's run may wake it and never trades itself. Modules marked P are pure:
standard library, trading.model, and pipelines.{decision, costs, sizing, settings}; time and chance are arguments.
"""
