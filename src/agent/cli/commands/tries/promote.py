"""`agent promote NAME`: make the settings of a try the project's."""

from __future__ import annotations

import argparse

from agent.cli.output import emit
from agent.execution.tries import promoting
from agent.execution.workspace import open_database, read_settings
from agent.settings import SETTINGS_FILE
from agent.settings_line import replace_file
from agent.store.outputs import tries

HELP = "Write the settings of a try into agent.toml; the next run finds all that it computed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="see `agent tries`")
    parser.add_argument("--yes", action="store_true", help="write them; else only show what would change")


def run(options: argparse.Namespace) -> int:
    """Show the difference and, with --yes, write it."""
    settings, _ = read_settings(options.project_dir)
    with open_database(settings) as database, database.reading() as connections:
        one = tries.load(connections.project, options.name)
    text, shown = promoting.difference(settings.base, one)
    code, files = promoting.code_to_commit(settings, one)
    if options.yes and shown:
        replace_file(settings.base / SETTINGS_FILE, text)
    what = "Nothing to write." if not shown else "Written." if options.yes else "Not written yet: add --yes."
    emit(
        options,
        {"difference": shown, "written": options.yes and bool(shown), "code": code, "files": files},
        "\n".join(filter(None, [shown, what, promoting.commit_text(code, files)])),
    )
    return 0
