"""A new API token in a project's .env, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from agent.errors import UsageError
from agent.settings import environment_of

_NAME = "AGENT_API_TOKEN"


def write_new_token(folder: Path) -> Path:
    """Write a new token to `folder`/.env, in the place of one that is there, and return the file's path.

    The other lines stay as they are. Raises UsageError where the environment names a token, which goes before .env, or
    the file cannot be written.
    """
    _, origin = environment_of(folder).get(_NAME, ("", ""))
    if origin == "environment":
        raise UsageError(
            f"{_NAME} is set in the environment, which goes before .env",
            where="agent serve --new-token",
            fix=f"unset {_NAME}, or leave --new-token out",
        )
    path = folder / ".env"
    try:
        before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        lines = [line for line in before if _name_in(line) != _NAME]
        handle, draft = tempfile.mkstemp(prefix=".env.", dir=folder)  # mode 600 from the first byte
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, f"{_NAME}={secrets.token_urlsafe(32)}"]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except OSError as error:
        raise UsageError(
            f"cannot write the token: {error.strerror or error}", where=str(path), fix="check the folder's permissions"
        ) from error
    return path


def _name_in(line: str) -> str:
    return line.strip().removeprefix("export ").partition("=")[0].strip()
