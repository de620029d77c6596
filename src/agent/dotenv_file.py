"""A project's .env file, read by python-dotenv, every line that it cannot read reported with its number."""

from __future__ import annotations

import io
from pathlib import Path

from pipelines.errors import SettingsError

NAME = ".env"


def read(path: Path) -> dict[str, str]:
    """Variable -> value; empty where there is no file. `$` in a value stands for itself: passwords have it.

    Raises SettingsError with file and line for what is not KEY=VALUE, and for a file that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {NAME}: {error}", where=str(path), fix="correct or remove it") from error
    from dotenv.parser import parse_stream  # only where there is a file: it costs a run some milliseconds

    values = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # Blank lines before a statement belong to it.
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string[:blank].count("\n")
            raise SettingsError(
                "a line is not KEY=VALUE", where=f"{path}, line {line}", fix="correct the line, or comment it out"
            )
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values
