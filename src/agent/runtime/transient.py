"""Which errors may pass by themselves, so that the same attempt is worth another try."""

from __future__ import annotations

import errno
import socket
import sqlite3

from pipelines.errors import PipelineError

_PASSING = (ConnectionError, TimeoutError, InterruptedError, socket.gaierror)
# By name: whoever raises one has loaded its library, and nobody else should have to.
_PASSING_NAMES = {
    "aiohttp.client_exceptions.ClientConnectionError",
    "aiohttp.client_exceptions.ClientPayloadError",
    "ccxt.base.errors.NetworkError",
    "http.client.IncompleteRead",
    "httpx.TransportError",
    "requests.exceptions.ChunkedEncodingError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.Timeout",
}
_NETWORK = {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ESTALE}
_HTTP = {408, 425, 429}  # and 5xx
_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLSTATE = ("08", "40", "53300", "55P03", "57P")  # connection, rolled back, too many, lock timeout, going down


def is_transient(error: BaseException) -> bool:
    """Whether the same attempt may succeed later: network faults, HTTP 429 and 5xx, lock timeouts, what says so of
    itself. Also as urllib, httpx, requests, aiohttp, ccxt, sqlite3 and psycopg raise them in people's own sources."""
    if isinstance(error, PipelineError):
        return error.transient
    status = _http_status(error)
    if status is not None:
        return status in _HTTP or status >= 500
    reason = getattr(error, "reason", None)
    if _library(error) == "urllib" and isinstance(reason, BaseException):
        return is_transient(reason)
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE
    sqlstate = getattr(error, "sqlstate", None)
    return (
        isinstance(error, _PASSING)
        or (isinstance(error, OSError) and error.errno in _NETWORK)
        or (isinstance(sqlstate, str) and sqlstate.startswith(_SQLSTATE))
        or any(f"{kind.__module__}.{kind.__qualname__}" in _PASSING_NAMES for kind in type(error).__mro__)
    )


def _http_status(error: BaseException) -> int | None:
    """The status that an HTTP library's error carries; None for every other error."""
    response = getattr(error, "response", None)
    found = getattr(response, "status_code", None)
    if found is None and _library(error) == "urllib":
        found = getattr(error, "code", None)
    elif found is None and _library(error) == "aiohttp":
        found = getattr(error, "status", None)
    return found if isinstance(found, int) else None


def _library(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]
