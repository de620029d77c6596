"""Every command that a page names exists, with the arguments shown: `agent …`, the orchestrator, make targets."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import orchestrator
from agent.cli.main import load, names, parser_of
from tests.docs.pages import blocks, inline_code, name_of, pages
from tests.paths import PROJECT

_SHELL = ("sh", "console", "bash", "")
_PLACEHOLDER = re.compile(r"[A-Z]+(:[A-Z]+)?|…|\.\.\.")


def typed(page: Path) -> Iterator[list[str]]:
    """Whole commands in the page's blocks, as words."""
    for block in blocks(page):
        if block.language not in _SHELL:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue  # what the command prints
            command = line.removeprefix("$ ").strip()
            if re.match(r"(agent|make|python -m) ", command):
                yield shlex.split(command, comments=True)


def mentioned(page: Path) -> Iterator[list[str]]:
    """Commands in the page's prose, whose arguments may be left out."""
    for text in inline_code(page):
        if re.fullmatch(r"(agent|make|python -m) [\w\-. \"'=:{}|\[\]…*<>,/]+", text):
            yield re.sub(r"[\[\]\"']", "", text.partition(" > ")[0]).split()


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a parser and of its own commands."""
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found |= options_of(inner)
    return found


def parser_for(words: list[str]) -> argparse.ArgumentParser | None:
    """The parser of a command; None where there is nothing to check beyond its name. Fails for an unknown one."""
    match words:
        case ["agent", name, *_] if not name.startswith("-") and not _PLACEHOLDER.fullmatch(name):
            assert name in names(), f"there is no command `agent {name}`"
            return parser_of(name, load(name))
        case ["python", "-m", "agent.orchestrator", *_]:
            return orchestrator._parser()
        case ["make", target, *_]:
            makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"there is no `make {target}`"
    return None


def arguments_in(words: list[str]) -> list[str]:
    return words[2:] if words[0] == "agent" else words[3:]


def refusal(parser: argparse.ArgumentParser, arguments: list[str]) -> str:
    """What the parser says against the arguments; placeholders stand for a number, which any text may be."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        parser.parse_args(["1" if _PLACEHOLDER.fullmatch(word) else word for word in arguments])
    return said.getvalue()


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_in_blocks_can_be_typed_as_they_stand(page: Path) -> None:
    for words in typed(page):
        parser = parser_for(words)
        if parser is not None and "--project-dir" not in words:
            assert refusal(parser, arguments_in(words)) == "", shlex.join(words)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    for words in mentioned(page):
        parser = parser_for(words)
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert parser is None or options <= options_of(parser), " ".join(words)


def test_commands_that_messages_advise_exist_with_their_options() -> None:
    files = [path for room in ("src", "dashboard") for path in (PROJECT / room).rglob("*.py")]
    advised = {found for path in files for found in re.findall(r"`(agent [a-z][^`{}]*)`", path.read_text("utf-8"))}
    assert len(advised) > 10
    for command in advised:
        words = command.split()
        parser = parser_for(words)
        assert parser is not None
        assert {word for word in words if word.startswith("--")} <= options_of(parser), command


def test_wrong_commands_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`agent gc --keep-runs 3`\n```sh\nagent plan --tarket x  # see\n```\n")
    (words,) = mentioned(page)
    parser = parser_for(words)
    assert parser is not None
    assert "--keep-runs" not in options_of(parser)
    (words,) = typed(page)
    parser = parser_for(words)
    assert parser is not None
    assert "--tarket" in refusal(parser, arguments_in(words))
    with pytest.raises(AssertionError, match="there is no command `agent plam`"):
        parser_for(["agent", "plam"])
