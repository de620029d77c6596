"""A signed message to a program of the user's when a run is over, as Standard Webhooks (standardwebhooks.com) has it.

The address comes from the server's agent.toml alone. A receiver that does not answer delays nothing for long, and
misses the message: GET /runs has what happened. Every run loads this module, few send: what sends is imported there.
"""

from __future__ import annotations

import json
import logging
from dataclasses import field
from typing import Any

from agent.clock import Clock, SystemClock
from agent.masking import masked
from agent.runtime.around import Ended
from agent.sections.webhook import Settings
from agent.store.control.runs import Run
from agent.store.database.urls import secrets_in
from pipelines.errors import SettingsError
from pipelines.values import dataclass

logger = logging.getLogger("tidemill.webhook")
LEAST_SECRET = 24
_SECONDS = 5.0
_TRIES = 2
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Webhook:
    """Follows a run (see `agent.runtime.around`)."""

    clock: Clock = field(default_factory=SystemClock)

    def __call__(self, ended: Ended) -> None:
        """Send the message, if there is an address. Raises SettingsError for one that is no safe address."""
        settings = ended.settings.of(Settings)
        if not settings.url:
            return
        _require_safe(settings)
        body = body_of(ended.run, secrets_in(ended.database.control.url)).encode()
        headers = signed(
            settings.secret, f"run_{ended.run.id}_{ended.run.status}", int(self.clock.now().timestamp()), body
        )
        for left in reversed(range(_TRIES)):
            try:
                _post(settings.url, body, headers)
                return
            except (OSError, ValueError) as error:
                said = f"{type(error).__name__}: {error}"
                logger.log(logging.WARNING if left else logging.ERROR, "the webhook of run %s: %s", ended.run.id, said)


def body_of(run: Run, secrets: tuple[str, ...]) -> str:
    """What is sent: the kind of event, when it was, and the run. Passwords in its error are hidden."""
    data: dict[str, Any] = {name: getattr(run, name) for name in ("id", "project_id", "goal", "trigger", "status")}
    times = {name: getattr(run, name) for name in ("created_at", "started_at", "finished_at")}
    data |= {name: None if at is None else at.isoformat() for name, at in times.items()}
    data["error"] = None if run.error is None else masked(run.error, secrets)
    return json.dumps({"type": f"run.{run.status.lower()}", "timestamp": data["finished_at"], "data": data})


def signed(secret: str, message_id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a message. The signature is HMAC-SHA256 over id, seconds since 1970 and body, in base64."""
    import base64
    import hashlib
    import hmac

    content = b".".join((message_id.encode(), str(at).encode(), body))
    signature = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


def _require_safe(settings: Settings) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(settings.url)
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise SettingsError("this is no address", where="[webhook] url", fix="write https://HOST/PATH")
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise SettingsError(
            "what runs did would travel in clear text", where="[webhook] url", fix="write https:// instead of http://"
        )
    if len(settings.secret) < LEAST_SECRET:
        raise SettingsError(
            f"a secret of {len(settings.secret)} characters can be guessed",
            where="[webhook] secret",
            fix=f"set AGENT_WEBHOOK_SECRET to at least {LEAST_SECRET} characters",
        )


def _post(url: str, body: bytes, headers: dict[str, str]) -> None:
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

    class NoRedirects(HTTPRedirectHandler):
        """A message goes where agent.toml says, and nowhere else."""

        def redirect_request(self, *_args: Any, **_more: Any) -> None:
            return None

    request = Request(url, body, {**headers, "content-type": "application/json"}, method="POST")  # noqa: S310
    with build_opener(ProxyHandler({}), NoRedirects).open(request, timeout=_SECONDS):  # raises for any answer but 2xx
        pass
