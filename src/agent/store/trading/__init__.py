"""The trading agent's rows, written step by step: each step is one transaction of a holder of the account's lease."""
