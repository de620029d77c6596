"""Bars, rolling windows and the work on one partition of features. Knows no model and no file format."""
