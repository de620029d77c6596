"""Feeds: what a release says now, and what history says bar by bar."""
