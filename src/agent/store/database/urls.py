"""URLs of databases: as people may see them, and which place each leads to. Nothing is opened."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from agent.masking import HIDDEN, SECRET_NAME, masked


def shown(url: sa.URL) -> str:
    """A database URL as people may see it, without its password, whichever way that is written."""
    hidden = {name: HIDDEN for name in url.query if SECRET_NAME.search(name)}
    return masked(url.update_query_dict(hidden).render_as_string(hide_password=True), secrets_in(url))


def key_of(url: str) -> tuple[str, ...]:
    """Which database and schema a URL leads to, whoever logs in: equal places hold the same tables.

    A host that is written in two ways (a name and its address) counts as two.
    """
    parsed = sa.make_url(url)
    if parsed.drivername.startswith("sqlite"):
        return ("sqlite", str(Path(parsed.database or "").resolve()))
    asked = {name: value if isinstance(value, str) else value[-1] for name, value in parsed.query.items()}
    host = asked.get("host") or parsed.host or "localhost"
    port = asked.get("port") or str(parsed.port or 5432)
    name = asked.get("dbname") or parsed.database or parsed.username or ""
    return ("postgresql", host, port, name, asked.get("schema", "public"))


def secrets_in(url: sa.URL) -> tuple[str, ...]:
    """The passwords that a database URL carries: before the host, or as a parameter."""
    found = [str(url.password)] if url.password else []
    for name, value in url.query.items():
        if SECRET_NAME.search(name):
            found += [value] if isinstance(value, str) else value
    return tuple(found)
