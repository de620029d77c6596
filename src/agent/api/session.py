"""Sessions of people at a browser: a signed cookie, and the token that every form carries against forgery.

Nothing is stored. With an API token the signature is made from it, so that every server of one token knows the cookie;
without one from a secret that lives as long as the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

COOKIE = "tidemill_session"
LIFETIME = timedelta(days=7)


class Sessions:
    """Makes and checks session cookies."""

    def __init__(self, token: str) -> None:
        self._key = hashlib.sha256(b"tidemill session " + (token.encode() or secrets.token_bytes(32))).digest()

    def new(self, now: datetime) -> str:
        """The value of a new session's cookie."""
        body = f"{int((now + LIFETIME).timestamp())}.{secrets.token_urlsafe(18)}"
        return f"{body}.{self._sign('session', body)}"

    def is_valid(self, value: str, now: datetime) -> bool:
        """Whether a cookie is one of ours and not over."""
        body, _, signature = value.rpartition(".")
        if not body or not hmac.compare_digest(signature.encode(), self._sign("session", body).encode()):
            return False
        return int(body.partition(".")[0]) > now.timestamp()

    def form_token(self, value: str) -> str:
        """The token that forms of the session with cookie `value` carry."""
        return self._sign("form", value)

    def is_form_token(self, value: str, given: str) -> bool:
        """Whether `given` is that token; compared in constant time."""
        return hmac.compare_digest(given.encode(), self.form_token(value).encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def cookies_in(header: str) -> list[str]:
    """The values of our cookie in a Cookie header: of another path there may be a second one.

    Read by hand: other programs on localhost send their cookies here, too, and http.cookies gives up at the first that
    it does not like.
    """
    pairs = (part.partition("=") for part in header.split(";"))
    return [value.strip().strip('"') for name, _, value in pairs if name.strip() == COOKIE]
