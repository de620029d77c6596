"""Tries: a change beside production that pays only for what it changes."""
