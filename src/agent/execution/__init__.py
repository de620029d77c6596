"""Performs plans: surveys what is true now, runs components, commits each success in one transaction."""
