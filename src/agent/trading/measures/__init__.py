"""Arithmetic of risk: what positions are worth, what they may lose, how large a stake is. Pure."""
