"""Firefox driven by its own port, which speaks WebDriver BiDi (W3C): pages are opened, and asked in JavaScript."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.served import wait_until

_SAYS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_SECONDS = 120.0


class Firefox:
    """One window of a running Firefox."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, count(1)
        self._ask("session.new", capabilities={})
        self._window = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, url: str) -> None:
        """Go there; returns when what the address itself has is loaded."""
        self._ask("browsingContext.navigate", context=self._window, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page: a text, a number, a boolean or null."""
        asked = {"expression": expression, "target": {"context": self._window}, "awaitPromise": True}
        return self._ask("script.evaluate", **asked)["result"].get("value")

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:  # events come between
            said: dict[str, Any] = json.loads(self._socket.recv(timeout=_SECONDS))
            if said.get("id") == number:
                assert said["type"] == "success", said
                return dict(said["result"])


@contextmanager
def firefox(program: str, folder: Path) -> Iterator[Firefox]:
    """A Firefox with a new profile below `folder`, without a window of its own on a screen."""
    from websockets.sync.client import connect

    (folder / "profile").mkdir()
    command = [program, "--headless", "--profile", str(folder / "profile"), "--remote-debugging-port", "0"]
    log = folder / "firefox.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, env={"HOME": str(folder)}) as process,
    ):
        try:
            wait_until(lambda: _SAYS.search(log.read_text()) is not None, seconds=_SECONDS, what="Firefox's port")
            found = _SAYS.search(log.read_text())
            assert found is not None
            with connect(f"{found[1]}/session", max_size=None) as socket:
                yield Firefox(socket)
        finally:
            process.kill()
