"""Which errors are worth another try: those of the libraries that people's own sources use, too."""

from __future__ import annotations

import email.message
import errno
import http.client
import socket
import sqlite3
import ssl
import urllib.error
from pathlib import Path

import httpx
import psycopg
import pytest
import requests

from agent.errors import DatabaseUnavailable, UsageError
from agent.runtime.transient import is_transient
from pipelines.errors import BadInput, TransientError


def urllib_status(code: int) -> Exception:
    return urllib.error.HTTPError("http://x", code, "said", email.message.Message(), None)


def httpx_status(code: int) -> Exception:
    request = httpx.Request("GET", "http://x")
    return httpx.HTTPStatusError("said", request=request, response=httpx.Response(code, request=request))


def requests_status(code: int) -> Exception:
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError("said", response=response)


PASSING: list[BaseException] = [
    TransientError("x"),
    DatabaseUnavailable("x"),
    ConnectionResetError(errno.ECONNRESET, "x"),
    TimeoutError("x"),
    http.client.RemoteDisconnected("x"),
    http.client.IncompleteRead(b"x"),
    OSError(errno.ENETUNREACH, "x"),
    OSError(errno.EHOSTUNREACH, "x"),
    socket.gaierror(socket.EAI_AGAIN, "no name server answers"),
    urllib.error.URLError(socket.gaierror(socket.EAI_AGAIN, "x")),
    urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "x")),
    *(status(code) for status in (urllib_status, httpx_status, requests_status) for code in (408, 429, 500, 503)),
    httpx.ConnectError("x"),
    httpx.ReadTimeout("x"),
    httpx.RemoteProtocolError("x"),
    requests.ConnectionError("x"),
    requests.ReadTimeout("x"),
    psycopg.errors.LockNotAvailable("x"),
    psycopg.errors.DeadlockDetected("x"),
    psycopg.errors.AdminShutdown("x"),
]
LASTING: list[BaseException] = [
    BadInput("x"),
    UsageError("x"),
    ValueError("x"),
    PermissionError(errno.EACCES, "x"),
    OSError(errno.ENOSPC, "x"),
    urllib.error.URLError(ssl.SSLCertVerificationError("x")),
    urllib.error.URLError("unknown url type: htp"),
    *(status(code) for status in (urllib_status, httpx_status, requests_status) for code in (400, 401, 404)),
    httpx.InvalidURL("x"),
    sqlite3.OperationalError("no such table: x"),
    psycopg.errors.UndefinedTable("x"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_tried_again(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_stays_wrong_is_not(error: BaseException) -> None:
    assert not is_transient(error)


def test_a_locked_sqlite_file_is_tried_again(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "theirs") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        other = sqlite3.connect(tmp_path / "theirs", timeout=0)
        with pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("CREATE TABLE x (y)")
        other.close()
    holder.close()
    assert is_transient(locked.value)
