"""The settings in docs/how-to/own-data.md are those that read the real files, and the first one works as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pipelines.components.ticks import Settings as TickSettings
from pipelines.settings import Faults, build
from pipelines.sources.files import FilesSource, Settings
from tests.paths import PROJECT

PAGE = PROJECT / "docs" / "how-to" / "own-data.md"
TESTED = PROJECT / "tests" / "integration" / "sources" / "shared_data.toml"


def blocks() -> list[dict[str, Any]]:
    return [tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)]


def datasets(block: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = block.get("sources", {}).get("files", {}).get("datasets", [])
    return found


def checked(cls: type[Any], values: dict[str, Any]) -> Any:
    faults = Faults(str(PAGE))
    made = build(cls, values, "", faults)
    faults.raise_if_any()
    return made


def test_the_shortest_form_reads_a_folder_of_csv(tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "ACME.csv").write_text("date,open,high,low,close,volume\n2020-01-02,1,2,1,2,10\n")
    source = FilesSource(checked(Settings, blocks()[0]["sources"]["files"]), tmp_path)
    frame = source.fetch("prices/ACME.csv").frame
    assert frame.get_column("market_id").to_list() == ["files:ACME"]
    assert str(frame.get_column("start")[0]) == "2020-01-02 05:00:00+00:00"


def test_other_settings_on_the_page_exist() -> None:
    for block in blocks():
        checked(TickSettings, block.get("ticks", {}))


def test_the_examples_are_those_that_are_tested() -> None:
    tested = datasets(tomllib.loads(TESTED.read_text()))
    examples = [dataset for block in blocks()[1:] for dataset in datasets(block)]
    assert len(examples) >= 9
    for dataset in examples:
        for place in (dataset, dataset.get("markets", {})):
            for name in {"path", "ask_path"} & place.keys():
                place[name] = place[name].removeprefix("data/")
        assert dataset in tested
