"""The webhook: a signed message per run end arrives at a real address, and only at the one that agent.toml names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agent import settings as agent_settings
from agent.clock import AsOfClock
from agent.runtime.around import Around
from agent.runtime.webhook import Webhook
from agent.service.goals import Intent
from agent.service.queue import enqueue
from agent.service.worker import Worker
from agent.store.control import runs
from agent.store.database.engine import Database, open_engine
from tests.served import FAILING

SECRET = "a-secret-that-nobody-guesses"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Receiver:
    """What came: headers and bodies. `answers` are the statuses to give, 200 once they are used up."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    """A receiver on loopback."""
    receiver = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.send_header("location", f"{receiver.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


def run_once(folder: Path, url: str, database_url: str, secret: str = SECRET) -> runs.Run:
    """The run that the webhook followed; it fails, and its error has a password in it."""
    text = f"{FAILING}\n[webhook]\nurl = {json.dumps(url)}\nsecret = {json.dumps(secret)}\n"
    (folder / "agent.toml").write_text(text.replace("no-such-folder", "no-such-password=hunter2hunter2"))
    settings = agent_settings.load(folder, {"AGENT_DATABASE_URL": database_url})
    own = open_engine(database_url)
    database = Database(control=own, project=own)
    run, _ = enqueue(
        database, project_id=0, goal="markets", intent=Intent(("markets",), (), "x"), now=datetime.now(UTC)
    )
    Worker(settings, database, Around(after=(Webhook(AsOfClock(NOW)),))).process()
    with database.reading() as connections:
        ended = runs.load_run(connections.control, run.id)
    database.close()
    return ended


@pytest.fixture(autouse=True)
def _url(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABASE_URL", sqlite_url)


def test_a_message_that_its_receiver_can_check(tmp_path: Path, sqlite_url: str) -> None:
    with receiving() as receiver:
        run = run_once(tmp_path, receiver.url, sqlite_url)
    ((headers, body),) = receiver.got
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert int(headers["webhook-timestamp"]) == int(NOW.timestamp())
    message = json.loads(body)
    assert (message["type"], message["data"]["id"], message["data"]["status"]) == ("run.failed", run.id, "FAILED")
    assert "hunter2" in (run.error or "")
    assert "hunter2" not in body.decode()


def test_it_is_tried_twice_and_the_run_stands(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving(500, 500) as receiver:
        run = run_once(tmp_path, receiver.url, sqlite_url)
    assert len(receiver.got) == 2
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]  # the receiver can tell it is one
    assert run.status == "FAILED"
    assert [one.levelno for one in caplog.records if one.name == "tidemill.webhook"] == [logging.WARNING, logging.ERROR]


def test_no_redirect_is_followed(tmp_path: Path, sqlite_url: str) -> None:
    with receiving(302, 307) as receiver:
        run_once(tmp_path, receiver.url, sqlite_url)
    assert len(receiver.got) == 2  # its two tries, and no third


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        ("http://example.org/x", SECRET, "clear text"),
        ("file:///etc/passwd", SECRET, "no address"),
        ("https://", SECRET, "no address"),
        ("http://127.0.0.1:9", "short", "can be guessed"),
    ],
)
def test_an_unsafe_setting_sends_nothing_and_says_why(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture, url: str, secret: str, said: str
) -> None:
    run = run_once(tmp_path, url, sqlite_url, secret)
    assert run.status == "FAILED"
    assert said in caplog.text
