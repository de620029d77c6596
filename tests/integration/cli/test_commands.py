"""The commands as people type them, in this process: what they print, change and return."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.cli.commands.init import template
from agent.cli.main import by_room, main, names
from agent.execution.workspace import read_settings
from agent.store import state
from agent.store.control import runs
from agent.store.database.engine import Connections
from tests.integration.cli.conftest import Typed
from tests.small import small_project
from tests.tiny import opened, run, tiny_project

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_help_lists_every_command_and_loads_none() -> None:
    program = (
        "import sys; from agent.cli.main import main; main(['--help'])\n"
        "assert not [name for name in sys.modules if name.startswith('agent.cli.commands.')]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    for name in ("plan", "explain", "gc", "backup", "serve"):
        assert f"\n  {name} " in done.stdout
    titles = [line for line in done.stdout.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert [*titles[3:4], *titles[-1:]] == ["the pipeline:", "database and lake:"], titles
    listed = [name for inside in by_room().values() for name in inside]
    assert sorted(listed) == list(names())


def test_a_list_of_runs_is_printed_as_it_comes(
    project: Path, agent: Typed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many there are: none is held but the page at hand."""
    from agent.cli.commands import runs as command

    for _ in range(3):
        run(project, (1, 2))
    printed: list[int] = []
    iterate = runs.iterate_runs

    def watched(*arguments: Any, **options: Any) -> Any:
        for one in iterate(*arguments, **options):
            printed.append(capsys.readouterr().out.count('"goal"'))
            yield one

    monkeypatch.setattr("agent.store.control.runs.iterate_runs", watched)
    agent("runs", "--json", "--limit", "100000")
    assert printed == [0, 1, 1, 1], "each one is printed before the next is read"
    monkeypatch.setattr("agent.store.control.runs.iterate_runs", iterate)
    monkeypatch.setattr(command, "_PAGE", 2)
    assert [one["id"] for one in agent.json("runs")] == [4, 3, 2, 1]
    assert agent("runs").count("COMPLETED") == 4
    assert "1 or more" in agent("runs", "--limit", "-1", code=2)


def test_common_options_stand_before_or_after_the_command(project: Path, agent: Typed, tmp_path: Path) -> None:
    assert json.loads(agent("--json", "runs"))[0]["id"] == agent.json("runs")[0]["id"] == 1
    elsewhere = tiny_project(tmp_path / "elsewhere")
    assert (
        agent.json("runs", "--project-dir", str(elsewhere)) == agent.json("--project-dir", str(elsewhere), "runs") == []
    )
    assert "did you mean `agent plan`?" in agent("paln", code=2)
    with pytest.raises(SystemExit) as ended:
        main(["runs", "--project-dir", "nowhere"])
    assert ended.value.code == 2


def test_init_writes_settings_that_change_nothing(tmp_path: Path, agent: Typed) -> None:
    agent("init", "--project-dir", str(tmp_path))
    written = (tmp_path / "agent.toml").read_text(encoding="utf-8")
    (tmp_path / "bare").mkdir()
    settings, project = read_settings(tmp_path)
    bare_settings, bare = read_settings(tmp_path / "bare")
    assert (project.settings, project.source_settings) == (bare.settings, bare.source_settings)
    for name in ("executor", "api", "retention", "alerts"):
        assert getattr(settings, name) == getattr(bare_settings, name)
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == ".tidemill/\n"
    assert "there is an agent.toml here already" in agent("init", "--project-dir", str(tmp_path), code=2)
    assert (tmp_path / "agent.toml").read_text(encoding="utf-8") == written


def test_every_line_that_init_wrote_may_be_put_in_force(tmp_path: Path) -> None:
    """Each commented default, once its `#` is off, is what the program takes for the default."""
    lines, section = [], ""
    for line in template().splitlines():
        if line.startswith(("[", "# [")):
            section = line
        is_setting = line.startswith("# ") and " = " in line and "… " not in line
        is_source = "[sources.files" in section or section.startswith("# [")  # left out as a whole, with its heading
        lines.append(line[2:] if is_setting and not is_source and "`#`" not in line else line)
    (tmp_path / "agent.toml").write_text("\n".join(lines), encoding="utf-8")
    written = tomllib.loads("\n".join(lines))
    assert written["backtest"]["seed"] == 7
    assert written["executor"]["timeouts"] == {}
    (tmp_path / "bare").mkdir()
    settings, project = read_settings(tmp_path)
    bare_settings, bare = read_settings(tmp_path / "bare")
    assert project.settings == bare.settings
    assert (settings.executor, settings.worker) == (bare_settings.executor, bare_settings.worker)


def test_an_ignore_file_is_added_to_and_kept(tmp_path: Path, agent: Typed) -> None:
    (tmp_path / ".gitignore").write_text("data/", encoding="utf-8")
    agent("init", "--project-dir", str(tmp_path))
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "data/\n.tidemill/\n"


def test_state_runs_and_events_show_what_was_recorded(project: Path, agent: Typed) -> None:
    found = {one["component"]: one for one in agent.json("state")["components"]}
    assert found["numbers"]["run_count"] == 1
    assert found["markets"]["is_dirty"]
    assert "current release: " in agent("state")
    (listed,) = agent.json("runs", "--status", "completed")
    assert (listed["id"], listed["status"]) == (1, "COMPLETED")
    assert agent.json("runs", "--status", "FAILED") == []
    told = agent.json("events", "1")
    assert [one["seq"] for one in told] == list(range(1, len(told) + 1))
    assert told[0]["type"] == "RUN_STARTED"
    assert "total runs because it has never run" in agent("events", "1")
    assert "there is no run 9" in agent("events", "9", code=2)


def test_marks_name_the_person_and_reach_the_next_run(
    project: Path, agent: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "anna")
    assert "anna: late prices" in agent("mark-dirty", "numbers:n1", "--reason", "late prices")
    assert agent("explain", "numbers") == (
        "numbers runs because its partition n1 was marked by a person (anna: late prices).\n"
    )
    report = agent.json("run", "--target", "board")
    assert [one["step"] for one in report["components"]] == ["compute", "skip", "skip"]
    assert report["components"][0]["is_cut_off"]
    assert "it has, among others: n2, n1, n0" in agent("mark-dirty", "numbers:n9", code=2)
    assert "there is no component 'nmubers'" in agent("mark-dirty", "nmubers", code=2)
    agent("mark-dirty", "total")
    assert "marked by a person (anna gave no reason)" in agent("plan", "--target", "total")


def test_plan_answers_what_if(project: Path, agent: Typed) -> None:
    assert [one["step"] for one in agent.json("plan", "--target", "board")] == ["skip"] * 3
    assert "Nothing would run." in agent("plan", "--target", "board")
    steps = {one["component"]: one for one in agent.json("plan", "--target", "board", "--if-changed", "numbers")}
    assert [one["step"] for one in steps.values()] == ["skip", "compute", "compute"]
    assert steps["total"]["expected_seconds"] > 0
    assert "there is no component or source 'x'" in agent("plan", "--if-changed", "x", code=2)
    assert agent.json("run", "--target", "board", "--dry-run") == agent.json("plan", "--target", "board")


def test_explain_tells_of_past_runs(project: Path, agent: Typed) -> None:
    assert agent("explain", "total", "--run", "1").splitlines()[:1] == ["total ran because it has never run."]
    run(project, (4,))
    told = agent("explain", "board", "--run", "2").splitlines()
    assert agent.json("explain", "board", "--run", "2")["steps"]["numbers"]["step"] == "compute"
    assert told[0] == "numbers ran because the setting values changed from [1, 2, 3] to [4]."
    assert told[1].startswith("total ran because numbers changed (version ")
    assert told[-1].startswith("board came out new: ")
    run(project)
    assert agent("explain", "board", "--run", "3").startswith("board was up to date")
    assert agent("explain", "markets", "--run", "3") == "run 3 was not about markets.\n"
    assert "there is no run 8" in agent("explain", "board", "--run", "8", code=2)


def test_a_waiting_run_is_cancelled_at_once_and_a_running_one_asked(project: Path, agent: Typed) -> None:
    with opened(project) as workspace, workspace.database.writing() as connections:
        waiting = _create(connections, "QUEUED")
        running = _create(connections, "RUNNING")
    assert agent.json("cancel", str(waiting))["status"] == "CANCELLED"
    assert [one["type"] for one in agent.json("events", str(waiting))] == ["RUN_CANCELLED"]
    asked = agent.json("cancel", str(running))
    assert (asked["status"], asked["cancel_requested"]) == ("RUNNING", True)
    assert "run 1 is over: COMPLETED" in agent("cancel", "1", code=3)


def _create(connections: Connections, status: str) -> int:
    found = runs.create_run(
        connections.control,
        project_id=0,
        goal="test",
        targets=(),
        force=(),
        trigger="person",
        status=status,
        owner="another-host/boot/ns/1/1" if status == "RUNNING" else None,
        lease_seconds=600,
        now=NOW,
    )
    return found.id


def test_rollback_puts_an_earlier_release_in_force(project: Path, agent: Typed) -> None:
    first = agent.json("state")["current_release"]["name"]
    run(project, (7,))
    second = agent.json("state")["current_release"]["name"]
    pointer = project / ".tidemill" / "releases" / "current"
    assert pointer.resolve().name == second != first
    assert f"in place of {second}" in agent("rollback", first)
    assert pointer.resolve().name == first
    assert (pointer / "board.txt").read_text() == "total 6"
    assert "there is no release 'x'" in agent("rollback", "x", code=2)


def test_releases_are_listed_and_compared(project: Path, agent: Typed) -> None:
    first = agent.json("state")["current_release"]["name"]
    run(project, (7,))
    second = agent.json("state")["current_release"]["name"]
    listed = agent.json("releases")
    assert [(one["name"], one["is_current"]) for one in listed] == [(second, True), (first, False)]
    assert [one["name"] for one in agent.json("releases", "--limit", "1")] == [second]
    said = agent("diff", first, second)
    assert said.startswith("Only [numbers] values [1, 2, 3] → [7] differs.")
    assert "numbers changed by its settings (values [1, 2, 3] → [7])" in said
    assert "total changed by its inputs" in said
    assert "Nothing behind them differs." in agent("diff", first, first)
    assert "there is no release 'x'" in agent("diff", first, "x", code=2)


def test_settings_say_where_they_come_from_and_hide_secrets(
    project: Path, agent: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_API_TOKEN", "s3cret")
    (project / ".env").write_text("WORKER_BATCH_SIZE=3\n", encoding="utf-8")
    text = agent("settings")
    assert "s3cret" not in text
    found = {(one["section"], one["name"]): one for one in agent.json("settings")}
    assert found["api", "token"] | {"section": "", "name": ""} == {
        "section": "",
        "name": "",
        "value": "(hidden)",
        "origin": "environment AGENT_API_TOKEN",
    }
    assert found["worker", "batch_size"]["origin"] == ".env WORKER_BATCH_SIZE"
    assert found["numbers", "values"]["origin"] == "agent.toml"
    assert found["backtest", "seed"]["origin"] == "default"
    assert {one["section"] for one in agent.json("settings", "executor")} == {"executor"}
    assert "there is no section 'x'" in agent("settings", "x", code=2)
    toml = project / "agent.toml"
    url = "postgresql://me:pa55@host/db"
    toml.write_text(toml.read_text(encoding="utf-8").replace('url = ""', f'url = "{url}"'), encoding="utf-8")
    assert "postgresql://me:***@host/db" in agent("settings", "database")


def test_a_long_setting_hides_no_other(project: Path, agent: Typed) -> None:
    with (project / "agent.toml").open("a", encoding="utf-8") as file:
        file.write('[[sources.files.datasets]]\nkind = "spot"\npath = "none/*.csv"\ninterval_seconds = 60\n')
    long = [line for line in agent("settings").splitlines() if len(line) > 250]
    assert ["datasets" in line for line in long] == [True]


def test_sources_say_whether_they_answer(project: Path, agent: Typed) -> None:
    found = {one["name"]: one for one in agent.json("sources")}
    assert found["sample"]["parts"] == 5
    assert not found["files"]["is_configured"]
    with (project / "agent.toml").open("a", encoding="utf-8") as file:
        file.write('[[sources.files.datasets]]\nkind = "spot"\npath = "none/*.csv"\ninterval_seconds = 60\n')
    found = {one["name"]: one for one in agent.json("sources", code=1)}
    assert "none/*.csv" in found["files"]["error"]
    assert "does not answer" in agent("sources", code=1)


def test_wrong_settings_end_with_two_and_name_the_line(project: Path, agent: Typed) -> None:
    with (project / "agent.toml").open("a", encoding="utf-8") as file:
        file.write("[backtset]\n")
    for command in (["plan"], ["state"], ["settings"], ["gc"], ["run"]):
        assert "[backtset] unknown section; did you mean [backtest]?" in agent(*command, code=2)


def test_export_writes_what_was_known_by_then(tmp_path: Path, agent: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    folder = small_project(tmp_path, days=40)
    monkeypatch.chdir(folder)
    agent("run", "--target", "ticks", "--json")
    assert agent.json("export", "ticks", "--to", "ticks.parquet")["rows"] == 2 * 40 * 24
    whole = pl.read_parquet("ticks.parquet")
    assert whole.height == 2 * 40 * 24
    agent("export", "ticks", "--to", "early.csv", "--as-of", "2024-01-02")
    early = pl.read_csv("early.csv", try_parse_dates=True)
    assert early.height == whole.filter(pl.col("ts") <= datetime(2024, 1, 2, tzinfo=UTC)).height > 0
    assert agent.json("export", "ticks", "--to", "none.csv", "--as-of", "2020-01-01T00:00:00Z")["rows"] == 0
    assert pl.read_csv("none.csv").columns == whole.columns
    assert whole.columns[:3] == ["market_id", "ts", "bar_start"]
    assert whole.filter(pl.col("ts") != pl.col("end")).is_empty()
    assert whole.filter(pl.col("bar_start") != pl.col("start")).is_empty()
    agent("export", "markets", "--to", "markets.csv")
    assert pl.read_csv("markets.csv").get_column("external_id").to_list() == ["ABC", "XYZ"]
    assert "features has no output yet" in agent("export", "features", "--to", "f.csv", code=2)
    assert "end it in .parquet or .csv" in agent("export", "ticks", "--to", "ticks.xlsx", code=2)
    assert "cannot write" in agent("export", "ticks", "--to", "nowhere/ticks.csv", code=2)
    assert not list(folder.glob(".*.draft"))


def test_gc_and_backup_and_db_by_command(project: Path, agent: Typed, tmp_path: Path) -> None:
    run(project, (8,))
    assert agent("gc", "--keep-days", "0", "--dry-run").startswith("would remove 0 files")  # replaced a moment ago
    assert "is out of bounds" in agent("gc", "--keep-releases", "0", code=2)
    assert agent.json("backup", str(tmp_path / "b.tar"))["files"] == 9
    other = tiny_project(tmp_path / "other", (8,))
    agent("restore", str(tmp_path / "b.tar"), "--project-dir", str(other))
    with opened(other) as workspace, workspace.database.reading() as connections:
        assert state.load_states(connections.project)["board"].run_count == 2
    assert agent("db", "upgrade").endswith("tables at head\n")
    assert "there is no version '0999'" in agent("db", "upgrade", "0999", code=2)
    agent("db", "downgrade", "base")
    assert agent.json("runs") == []  # the embedded database is made anew


def test_every_row_is_accounted_for_by_command(tmp_path: Path, agent: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    folder = small_project(tmp_path, days=2)
    monkeypatch.chdir(folder)
    assert "ticks has no output yet" in agent("sources", "report", code=2)
    settings = folder / "agent.toml"
    settings.write_text(settings.read_text() + '[ticks]\non_bad_rows = "quarantine"\n', encoding="utf-8")
    with (folder / "data" / "ABC.csv").open("a", encoding="utf-8") as file:
        file.write("2024-02-01T00:00:00Z,2,1,3,2,7\n")
    (folder / "data" / "EMPTY.csv").write_text("ts,open,high,low,close,volume\n", encoding="utf-8")
    told = agent("run", "--target", "ticks")
    assert "ticks left out 1 row that break a rule" in told
    assert "warning: files:data/ABC.csv: 2.0 % of the rows are lost: 1 quarantined" in told
    assert "warning: files:data/EMPTY.csv has no rows" in told
    found = agent.json("sources", "report")
    assert {one["part"]: (one["read"], one["kept"], one["quarantined"]) for one in found["parts"]} == {
        "data/ABC.csv": (49, 48, 1),
        "data/EMPTY.csv": (0, 0, 0),
        "data/XYZ.csv": (48, 48, 0),
    }
    assert len(found["warnings"]) == 2
    assert "all" in agent("sources", "report")
    assert agent.json("state")["quarantined"] == {"ticks": 1}
    assert "`agent export quarantine`" in agent("state")
    checked = agent("checks")
    assert "note: ticks left out 1 rows" in checked
    assert "warning: files:data/EMPTY.csv has no rows" in checked
    assert "all is well" in checked
    assert agent.json("export", "quarantine", "--to", "bad.csv")["rows"] == 1
    assert pl.read_csv("bad.csv").row(0, named=True)["rule"] == "high is below low"
