"""Platforms that orders are sent to."""
