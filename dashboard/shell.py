"""Puts our style sheet and script into the document that Streamlit serves.

What a page sends by itself arrives after the first paint: what was drawn before is then drawn again at another place.
"""

from __future__ import annotations

from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FOLDER = Path(__file__).parent
_END = b"</body>"
_SCRIPTS = "static/js"  # from the document, and below the folder that Streamlit serves
# Of what the browser has kept, of parts, and of compressed bytes: the document is always sent whole, as it now is.
_LEFT_OUT = (b"if-none-match", b"if-modified-since", b"range", b"accept-encoding")


class Shell:
    """ASGI middleware: answers that are documents end with the style sheet and the script of this folder. At the end,
    for what stands there wins over Streamlit's rules, which it adds to the head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        style, script = ((_FOLDER / f"shell.{kind}").read_bytes() for kind in ("css", "js"))
        ahead = b' data-ahead="' + _table_script().encode() + b'"'
        self._ours = b"<style>" + style + b"</style><script" + ahead + b">" + script + b"</script>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass `scope` on, and what is answered back."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        if any(name == b"accept" and b"text/html" in value for name, value in headers):
            headers = [(name, value) for name, value in headers if name not in _LEFT_OUT]
        await self._app({**scope, "headers": headers}, receive, _Document(self._ours, send))


def _table_script() -> str:
    """Where Streamlit's script for tables of data is, from the document; empty where this Streamlit has none of that
    name. It has another with each release."""
    folder = Path(streamlit.__file__).parent / "static" / _SCRIPTS
    return next((f"./{_SCRIPTS}/{one.name}" for one in sorted(folder.glob("DataFrame.*.js"))), "")


class _Document:
    """Sends an answer on; a document when it is complete."""

    def __init__(self, ours: bytes, send: Send) -> None:
        self._ours, self._send = ours, send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_document(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        body = self._body.replace(_END, self._ours + _END, 1)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(body))
        # They speak of the file that was read, which stays the same when ours are others.
        del headers["etag"], headers["last-modified"]
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _is_document(start: Message) -> bool:
    headers = MutableHeaders(raw=list(start["headers"]))
    return headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers
