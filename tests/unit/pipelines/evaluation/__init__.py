"""Tests of what out-of-fold forecasts are worth."""
