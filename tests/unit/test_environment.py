"""Variables from the environment and .env: what is read, and which file an error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import dotenv_file, settings
from pipelines.errors import SettingsError


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_what_people_write_is_read(dotenv: Path) -> None:
    dotenv.write_text(
        "\ufeff# a comment\n\nAGENT_API_TOKEN = 's3 cret' # why\nexport WORKER_BATCH_SIZE=3\nA=p@$s${HOME}#1\nB=\n",
        "utf-8",
    )
    assert dotenv_file.read(dotenv) == {
        "AGENT_API_TOKEN": "s3 cret",
        "WORKER_BATCH_SIZE": "3",
        "A": "p@$s${HOME}#1",
        "B": "",
    }
    found = settings.load(dotenv.parent, environment={})
    assert (found.api.token, found.worker.batch_size) == ("s3 cret", 3)
    assert settings.load(dotenv.parent, environment={"WORKER_BATCH_SIZE": "4"}).worker.batch_size == 4


def test_without_a_file_there_is_nothing(dotenv: Path) -> None:
    assert dotenv_file.read(dotenv) == {}


@pytest.mark.parametrize(
    ("text", "line"), [("A=1\nnonsense here\n", 2), ("\n\nA\n", 3), ("=x\n", 1), ("A=1\nB='open\nC=2\n", 2)]
)
def test_a_line_that_is_none_is_named(dotenv: Path, text: str, line: int) -> None:
    dotenv.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="not KEY=VALUE") as caught:
        settings.load(dotenv.parent, environment={})
    assert caught.value.where == f"{dotenv}, line {line}"


def test_a_file_that_cannot_be_read_is_named(dotenv: Path) -> None:
    dotenv.write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"cannot read \.env") as caught:
        dotenv_file.read(dotenv)
    assert caught.value.where == str(dotenv)


BAD = [("TRADING_MODE", "paper"), ("WORKER_BATCH_SIZE", "many"), ("WORKER_BATCH_SIZE", "0")]


def test_a_bad_value_is_reported_with_the_place_it_comes_from(dotenv: Path) -> None:
    for name, value in BAD:
        dotenv.write_text(f"{name}={value}\n", encoding="utf-8")
        with pytest.raises(SettingsError, match=rf"\[{name}\]") as caught:
            settings.load(dotenv.parent, environment={})
        assert caught.value.where == str(dotenv)
        with pytest.raises(SettingsError, match=rf"\[{name}\]") as caught:
            settings.load(dotenv.parent, environment={name: value})
        assert caught.value.where == "environment"


def test_faults_of_several_places_name_them_all(dotenv: Path) -> None:
    dotenv.write_text("TRADING_MODE=paper\n", encoding="utf-8")
    toml = dotenv.parent / "agent.toml"
    toml.write_text("[worker]\nbatch_size = 0\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="2 settings are wrong") as caught:
        settings.load(dotenv.parent, environment={})
    assert caught.value.where == f"{toml}, {dotenv}"
