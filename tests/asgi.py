"""Starlette's test client, imported without its advice to install another HTTP library."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it works with httpx, which schemathesis brings along
    from starlette.testclient import TestClient

__all__ = ["TestClient"]
