"""docs/reference/cli.md says what the parsers know."""

from __future__ import annotations

from agent.cli.main import help_of, load, names
from agent.cli.reference import reference
from tests.paths import PROJECT


def test_the_reference_is_what_the_parsers_say() -> None:
    written = (PROJECT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m agent.cli.reference > docs/reference/cli.md"


def test_every_command_has_one_line_of_help_that_is_read_without_importing_it() -> None:
    assert {"plan", "mark-dirty", "gc", "reproduce"} <= set(names())
    for name in names():
        assert help_of(name) == load(name).HELP
        assert "\n" not in help_of(name)
        assert help_of(name).endswith(".")
