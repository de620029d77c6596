"""Takes passwords out of texts that people may see: URLs in messages, what a driver says, settings shown. Pure.

What cannot be told from a secret is taken for one: hiding too much costs a look into agent.toml, hiding too little a
password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"
# Names of values that are secret: password, sslpassword, passwd, pwd, passfile, token, api_key, client_secret, …
SECRET_NAME = re.compile(r"pass|pwd|secret|token|credential|api_?key|access_?key", re.IGNORECASE)
# The part of a URL before its host. A password may hold any character, also an unescaped "@", so the last one counts.
_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.\-]*://)(?P<user>[^\s:/@'\"]*):[^\s'\"<>]*@", re.IGNORECASE)
# NAME=VALUE as in a query string or in libpq's conninfo, where a value may stand in quotes.
_PAIR = re.compile(
    rf"(?P<name>[\w\-.]*(?:{SECRET_NAME.pattern})[\w\-.]*)(?P<equals>\s*(?:=|%3D)\s*)(?P<value>'[^']*'|\"[^\"]*\"|[^\s&;,'\"]+)",
    re.IGNORECASE,
)
_SHORT = 4


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without passwords: those of URLs, values whose name says that they are secret, and `secrets` wherever they
    stand. Applying it twice changes nothing more."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        # A short one is part of many words: it counts only where it stands alone.
        pattern = re.escape(secret) if len(secret) >= _SHORT else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(pattern, HIDDEN, text)
    text = _USERINFO.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", text)
    return _PAIR.sub(rf"\g<name>\g<equals>{HIDDEN}", text)
