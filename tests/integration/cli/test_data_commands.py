"""`agent init --data`, `agent sources guess` and `import`: from a folder of files to settings that run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pipelines.components.markets import ingest_markets
from pipelines.source import NAME_LENGTHS
from tests.integration.cli.test_commands import Typed
from tests.integration.ticks.mill import Mill

HEAD = "Date,Open,High,Low,Close,Adj Close,Volume\n"


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newcomer's folder: two shares of a broker, and notes."""
    (tmp_path / "prices").mkdir()
    for name in ("AAPL", "BRK-B"):
        rows = "".join(f"2024-01-{day:02},10,12,9,{10 + day / 20},5,100\n" for day in range(2, 30) if day % 7 > 1)
        (tmp_path / "prices" / f"{name}.csv").write_text(HEAD + rows)
    (tmp_path / "prices" / "notes.csv").write_text("what,when\nbought,today\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def datasets(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((folder / "agent.toml").read_text())["sources"]["files"]["datasets"]
    return found


def test_a_folder_of_files_runs_in_two_commands(folder: Path, agent: Typed) -> None:
    told = agent("init", "--data", "prices")
    assert "next: agent run" in told
    assert "# unsure: days are taken to be of UTC" in told
    (dataset,) = datasets(folder)
    assert (dataset["kind"], dataset["interval"]) == ("equity", "day")
    assert dataset["path"] == ["prices/AAPL.csv", "prices/BRK-B.csv"], "the notes are no part of it"
    settings = folder / "agent.toml"
    settings.write_text(settings.read_text().replace("[executor]\n", '[executor]\nkind = "inline"\n'))
    assert "Sources: 40 rows of 2 parts read: 40 kept." in agent("run", "--target", "ticks")


def test_init_without_data_to_read_leaves_nothing_behind(folder: Path, agent: Typed) -> None:
    (folder / "empty").mkdir()
    assert "no file of a known format" in agent("init", "--data", "empty", code=1)
    (folder / "empty" / "a.csv").write_text("what,when\nbought,today\n")
    assert "no file holds bars, trades or quotes" in agent("init", "--data", "empty", code=2)
    assert not (folder / "agent.toml").exists()


def test_guess_prints_what_agent_toml_takes(folder: Path, agent: Typed) -> None:
    printed = agent("sources", "guess", "prices")
    found = tomllib.loads(printed)["sources"]["files"]["datasets"]
    assert "#   market_id=files:AAPL  start=2024-01-02T00:00:00Z" in printed
    assert "# passed over: " in printed
    plain = agent.json("sources", "guess", "prices")
    assert [one["settings"] for one in plain["datasets"]] == found
    assert len(plain["datasets"][0]["rows"]) == 3
    assert plain["passed_over"][0]["reason"] == "no bars, trades or quotes in columns what, when"
    assert not (folder / "agent.toml").exists()
    assert "no file is given" in agent("sources", "guess", code=2)


def test_import_adds_to_the_settings_once(folder: Path, agent: Typed) -> None:
    (folder / "prices" / "notes.csv").unlink()
    (folder / "agent.toml").write_text('[executor]\nkind = "inline"  # mine\n')
    assert "added to" in agent("sources", "import", "yahoo", "prices")
    assert (folder / "agent.toml").read_text().startswith('[executor]\nkind = "inline"  # mine\n')
    (dataset,) = datasets(folder)
    assert dataset["adjusted_close"] == "Adj Close"
    before = (folder / "agent.toml").read_text()
    assert "there is a dataset of prices/*.csv already" in agent("sources", "import", "yahoo", "prices", code=2)
    assert "no file is of the layout 'binance'" in agent("sources", "import", "binance", "prices", code=1)
    assert "freqtrade: what" in agent("sources", "import", "metatrader", "prices", code=2)
    assert (folder / "agent.toml").read_text() == before


def test_settings_that_the_datasets_do_not_fit_into_stay_as_they_are(folder: Path, agent: Typed) -> None:
    for text in ("[sources.files]\ndatasets = []\n", "[sources\n"):
        (folder / "agent.toml").write_text(text)
        assert "the datasets do not fit in" in agent("sources", "import", "yahoo", "prices", code=2)
        assert (folder / "agent.toml").read_text() == text


@pytest.mark.parametrize(
    ("market", "message"),
    [("x" * 201, "has 201 characters, at most 200 are possible"), ("a\0b", "holds a NUL character")],
)
def test_a_name_that_a_database_does_not_take_is_named(tmp_path: Path, market: str, message: str) -> None:
    mill = Mill(tmp_path, [{"path": "*.jsonl", "kind": "spot", "content": "trades"}])
    mill.write("a.jsonl", json.dumps({"ts": "2024-01-02T09:00:00Z", "price": 1, "market": market}) + "\n")
    with pytest.raises(Exception, match=message) as caught:
        mill.run()
    assert "[sources.files]" in str(caught.value)
    assert ingest_markets.name == "markets"


def test_the_limits_are_those_of_the_tables() -> None:
    from agent.store.published import markets

    for column, most in NAME_LENGTHS.items():
        assert markets.c[column].type.length == most, column  # type: ignore[attr-defined]
