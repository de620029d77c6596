"""`agent COMMAND …`: finds the command's file by name and runs it. Knows no command by itself.

Exit codes: 0 done, 1 a component failed or something is wrong, 2 usage or settings, 3 busy.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from agent import console
from agent.arguments import Parser
from agent.errors import UsageError

_COMMANDS = Path(__file__).parent / "commands"


class Command(Protocol):
    """A module in commands/."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what follows the command's name."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The `agent` command line; returns the exit code."""
    options = overview().parse_args(arguments)
    if options.help or options.command is None:
        print(overview(listing=True).format_help(), end="")
        return 0 if options.help else 2
    if options.command not in names():
        return console.exit_code_of(lambda: _unknown(options.command), debug=False)
    command = load(options.command)
    options = parser_of(options.command, command).parse_args(options.arguments, options)
    console.set_up_logging(options.log_format, debug=options.debug)
    _see_own_modules(options.project_dir or Path.cwd())
    return console.exit_code_of(lambda: command.run(options), debug=options.debug)


def names() -> tuple[str, ...]:
    """Names of all commands in alphabetical order, as people type them."""
    return tuple(sorted(_files()))


def load(name: str) -> Command:
    """The module of command `name`."""
    inside = _files()[name].relative_to(_COMMANDS).with_suffix("")
    return cast(Command, importlib.import_module(".".join(["agent.cli.commands", *inside.parts])))


def help_of(name: str) -> str:
    """HELP of command `name`, read without importing it: `agent --help` loads no command."""
    return _constant(_files()[name], "HELP")


def by_room() -> dict[str, list[str]]:
    """Title of each room of commands, the pipeline's first -> names of its commands in alphabetical order."""
    rooms: dict[Path, list[str]] = {}
    for name, path in sorted(_files().items()):
        rooms.setdefault(path.parent, []).append(name)
    return {_constant(room / "__init__.py", "TITLE"): rooms[room] for room in sorted(rooms)}


def _constant(file: Path, name: str) -> str:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return str(ast.literal_eval(node.value))
    raise LookupError(f"{file} has no {name}")


def _files() -> dict[str, Path]:
    """Command -> its file, in commands/ or a room of it. `try_.py`: no module may have the name of a keyword."""
    found = (path for path in _COMMANDS.rglob("*.py") if not path.stem.startswith("_"))
    return {path.stem.rstrip("_").replace("_", "-"): path for path in found}


def overview(*, listing: bool = False) -> argparse.ArgumentParser:
    """The parser that knows the common options and takes the rest as it is; with `listing` its help has every command
    (which reads all their files)."""
    parser = Parser(
        prog="agent",
        description="Keeps a market pipeline up to date: recomputes exactly what changed, and says why.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    if listing:
        listed = "\n\n".join(f"{title}:\n{_listed(inside)}" for title, inside in by_room().items())
        parser.epilog = f"{listed}\n\n`agent COMMAND --help` says more about one of them."
    parser.add_argument("-h", "--help", action="store_true", help="show this and end")
    add_common(parser)
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of the commands below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help="its own arguments and options")
    return parser


def _listed(inside: Sequence[str]) -> str:
    """A line per command, or more where the terminal is narrow."""
    indent = 2 + max(len(name) for name in names()) + 2
    width = max(shutil.get_terminal_size().columns, indent + 40)
    lines = (f"  {name:<{indent - 2}}{help_of(name)}" for name in inside)
    return "\n".join(textwrap.fill(line, width, subsequent_indent=" " * indent) for line in lines)


def parser_of(name: str, command: Command) -> argparse.ArgumentParser:
    """The parser of one command: its own arguments and, again, the common options."""
    parser = Parser(prog=f"agent {name}", description=command.HELP)
    command.add_arguments(parser)
    # An option before the command's name holds unless it is given again after it.
    add_common(parser, default=argparse.SUPPRESS)
    return parser


def add_common(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Options that every command has, before its name or after it."""
    group = parser.add_argument_group("common options")
    off = default or False
    group.add_argument("--json", action="store_true", default=off, help="print JSON instead of text")
    group.add_argument("--debug", action="store_true", default=off, help="log more, show tracebacks")
    group.add_argument(
        "--log-format", choices=("text", "json"), default=default or "text", help="lines of the log (text)"
    )
    group.add_argument(
        "--project-dir",
        type=_folder,
        default=default,
        metavar="DIR",
        help="folder with agent.toml (the current one)",
    )


def _see_own_modules(folder: Path) -> None:
    """Let the project's modules import each other by name. `python -m` does so; the `agent` command must not find
    fewer of them than a run started that way did. Last on the path: installed packages go first."""
    if not sys.flags.safe_path and str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}; name the one with agent.toml")
    return path


def _unknown(name: str) -> int:
    near = difflib.get_close_matches(name, names(), n=1)
    fix = f"did you mean `agent {near[0]}`?" if near else "`agent --help` lists the commands"
    raise UsageError(f"there is no command {name!r}", where="agent", fix=fix)


if __name__ == "__main__":
    sys.exit(main())
