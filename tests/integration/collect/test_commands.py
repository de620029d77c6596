"""`agent collect` and `agent sources` as people type them, against venues on this machine, with a real clock."""

from __future__ import annotations

import asyncio
import json
import shutil
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent import identity
from agent import settings as agent_settings
from agent.cli.main import main
from agent.collect.before import collect_before
from agent.collect.passing import Passes, remote_sources
from agent.errors import LeaseLost
from agent.execution.workspace import open_database
from agent.store import collecting, leases
from pipelines.feed import Request
from pipelines.inbox.pages import Header, Inbox
from pipelines.inbox.writer import Writer
from pipelines.testing.venue_replies import KalshiVenue, OandaVenue, PolymarketVenue
from pipelines.testing.venues import VenueServer, serving, storm
from tests.integration.collect.conftest import markets
from tests.paths import RECORDINGS, needs_recordings

NOW = datetime.now(UTC)


@pytest.fixture
def server() -> Iterator[VenueServer]:
    tickers, conditions = [f"KXRAIN-26-C{n}" for n in range(3)], [f"0x{n:064x}" for n in range(11, 14)]
    venues = {
        "kalshi": KalshiVenue(markets(tickers, 60, NOW)),
        "polymarket": PolymarketVenue(markets(conditions, 60, NOW)),
    }
    with serving(venues) as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, server: VenueServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    address = server.url("polymarket")
    (tmp_path / "agent.toml").write_text(
        f'[sources.kalshi]\nurl = "{server.url("kalshi")}"\nhistory_days = 7.0\n\n'
        f'[sources.polymarket]\ngamma_url = "{address}"\nclob_url = "{address}"\ndata_url = "{address}"\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> Any:
    def typed(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        found = main(arguments)
        out, error = capsys.readouterr()
        assert found == code, out + error
        return json.loads(out) if "--json" in arguments and code != 2 else out + error

    return typed


def test_collect_once_then_see_what_there_is(project: Path, agent: Any, server: VenueServer) -> None:
    results = {one["source"]: one for one in agent("collect", "--once", "--json")}
    assert results["kalshi"]["is_done"]
    assert results["polymarket"]["rows"] == 3 + 180
    before = len(server.log)
    found = {one["name"]: one["remote"] for one in agent("sources", "--json")}
    assert found["files"] is None
    assert found["polymarket"]["streams"] == 4
    assert found["polymarket"]["holes"] == found["polymarket"]["failing"] == 0
    assert 0 <= found["polymarket"]["lag_seconds"] < 3600
    assert found["polymarket"]["last_error"] is None
    assert "remote source" in agent("sources")
    covered = agent("sources", "coverage", "kalshi", "--json")["kalshi"]
    assert [one["holes"] for one in covered] == [[]] * 3
    assert all(one["fraction"] > 0.9 for one in covered)
    assert "100.0 %" in agent("sources", "coverage") or "99." in agent("sources", "coverage")
    assert agent("sources", "compact", "--json") == {"kalshi": 0, "polymarket": 0}
    assert len(server.log) == before  # none of it asks the network


def test_a_venue_that_is_down_is_named_and_the_other_one_goes_on(
    project: Path, agent: Any, server: VenueServer
) -> None:
    server.faults["kalshi"] = storm(1, 10**6, "451")
    results = {one["source"]: one for one in agent("collect", "--once", "--json", code=1)}
    assert "rule about regions" in results["kalshi"]["error"]
    assert results["polymarket"]["is_done"]
    found = {one["name"]: one["remote"] for one in agent("sources", "--json")}
    assert "rule about regions" in found["kalshi"]["last_error"]
    assert found["polymarket"]["last_error"] is None
    del server.faults["kalshi"]
    assert agent("collect", "--once", "kalshi", "--json")[0]["is_done"]
    assert {one["name"]: one["remote"] for one in agent("sources", "--json")}["kalshi"]["last_error"] is None


def test_one_process_at_a_time_collects_a_source(project: Path, agent: Any) -> None:
    settings = agent_settings.load(project)
    with open_database(settings) as database:
        with database.writing() as connections:
            collecting.ensure_collector(connections.project, "kalshi")
            leases.take(connections.project, leases.of_collector("kalshi"), identity.own(), 60)
        said = agent("collect", "--once", "kalshi", code=3)
        assert "source kalshi is being collected by" in said
        assert agent("sources", "compact", "kalshi", code=3)
        collect_before(settings, database, lambda: None, "schedule")  # no error: who holds it collects
        with database.reading() as connections:
            assert {one.source for one in collecting.load_streams(connections.project)} == {"polymarket"}


def test_who_lost_the_lease_records_nothing(
    project: Path, server: VenueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = agent_settings.load(project)
    source = remote_sources(settings)["kalshi"]
    real = Writer.append

    def taken_over(self: Writer, *page: Any) -> None:
        real(self, *page)
        with open_database(settings) as other, other.writing() as connections:
            name = leases.of_collector("kalshi")
            leases.release(connections.project, name, 1)
            if not leases.is_held(connections.project, name, 2):
                leases.take(connections.project, name, "far-away/boot/pid:[1]/7/9", 60)

    monkeypatch.setattr(Writer, "append", taken_over)
    with open_database(settings) as database:
        with pytest.raises(LeaseLost):
            asyncio.run(Passes(settings, database).over(source))
        with database.reading() as connections:
            assert collecting.load_streams(connections.project) == []


@pytest.mark.parametrize(
    ("trigger", "collects"), [("schedule", True), ("queue", True), ("person", False), ("api", False)]
)
def test_what_is_new_is_collected_before_runs_that_nobody_waits_for(
    project: Path, server: VenueServer, trigger: str, collects: bool
) -> None:
    settings = agent_settings.load(project)
    with open_database(settings) as database:
        collect_before(settings, database, lambda: None, trigger)
        with database.reading() as connections:
            found = collecting.load_streams(connections.project)
            collected = collecting.collected_to(connections.project)
    assert bool(found) == bool(server.log) == collects
    assert set(collected) == ({"kalshi", "polymarket"} if collects else set())


def test_a_scheduler_reads_what_is_known_of_an_inbox_once(
    project: Path, server: VenueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each run would read the headers of all pages that there ever were."""
    read, headers = list[Header](), Inbox.headers

    def counted(inbox: Inbox, kind: str, seen: dict[str, int]) -> Iterator[Header]:
        for one in headers(inbox, kind, seen):
            read.append(one)
            yield one

    monkeypatch.setattr(Inbox, "headers", counted)
    settings = agent_settings.load(project)
    with open_database(settings) as database:
        collect_before(settings, database, lambda: None, "schedule")
        asyncio.run(Passes(settings, database).over(remote_sources(settings)["kalshi"]))  # as another process does
        collect_before(settings, database, lambda: None, "schedule")
        known = len(read)
        assert known, "what others wrote is not known without reading it"
        collect_before(settings, database, lambda: None, "schedule")
    assert len(read) == known


def test_a_run_waits_for_what_is_new_no_longer_than_it_is_told(project: Path, server: VenueServer) -> None:
    """The venue asks for a pause of an hour: the run goes on with what is there."""
    with (project / "agent.toml").open("a") as file:
        file.write("[collect]\nbefore_runs_seconds = 2.0\n")
    server.faults["kalshi"] = storm(2, 10**6, "429")
    server.faults["polymarket"] = storm(1, 10**6, "503")
    settings = agent_settings.load(project)
    began = datetime.now(UTC)
    with open_database(settings) as database:
        collect_before(settings, database, lambda: None, "schedule")
    assert datetime.now(UTC) - began < timedelta(seconds=60)


def test_a_venue_that_hangs_holds_up_one_run_and_is_named(project: Path, server: VenueServer) -> None:
    with (project / "agent.toml").open("a") as file:
        file.write("[collect]\nbefore_runs_seconds = 2.0\n")
    server.faults["kalshi"] = storm(1, 10**6, "drip")
    settings = agent_settings.load(project)
    with open_database(settings) as database:
        collect_before(settings, database, lambda: None, "schedule")
        with database.reading() as connections:
            (listed,) = collecting.load_streams(connections.project, "kalshi")
        assert "no whole reply within" in str(listed.last_error)
        assert listed.next_try_at is not None
        assert listed.next_try_at > datetime.now(UTC) + timedelta(seconds=30)  # as what failed, not as what was put off
        collect_before(settings, database, lambda: None, "schedule")
    assert len(server.asked("kalshi")) == 1


def test_add_writes_a_section_and_tries_it(tmp_path: Path, agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nowhere = Request("http://127.0.0.1:9/markets")  # nothing listens there
    monkeypatch.setattr("pipelines.sources.polymarket.PolymarketFeed.next_request", lambda *_: nowhere)
    (tmp_path / "agent.toml").write_text("[project]\nmodules = []\n")
    said = agent("sources", "add", "polymarket", "--query", 'us "election"', "--limit", "7", code=1)
    assert "does not answer now" in said
    assert "the connection was refused" in said
    written = tomllib.loads((tmp_path / "agent.toml").read_text())
    assert written["sources"]["polymarket"] == {"query": 'us "election"', "limit": 7}
    assert written["project"] == {"modules": []}
    assert "already" in agent("sources", "add", "polymarket", code=2)
    assert "local" in agent("sources", "add", "files", code=2)
    assert "did you mean" in agent("sources", "add", "polymarkt", code=2)
    assert "limit" in agent("sources", "add", "kalshi", "--limit", "0", code=2)


def test_test_makes_one_call_and_explains_what_is_wrong(project: Path, agent: Any, server: VenueServer) -> None:
    assert agent("sources", "test", "kalshi", "--json")["rows"] == 3
    assert len(server.log) == 1
    for fault, said in {"401": "key", "451": "regions", "429": "pause", "html": "no JSON"}.items():
        server.faults["kalshi"] = storm(1, 10**6, fault)  # type: ignore[arg-type]
        text = agent("sources", "test", "kalshi", code=1)
        assert said in text
        assert "fix:" in text
    assert "no remote source" in agent("sources", "test", "files", code=2)


def test_without_a_remote_source_there_is_nothing_to_collect(tmp_path: Path, agent: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert "agent sources add" in agent("collect", "--once", code=2)


def test_a_backup_has_the_inbox_and_what_came_since_stays(
    project: Path, agent: Any, server: VenueServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    agent("collect", "--once", "polymarket")
    inbox = project / ".tidemill/inbox"
    before = {path.relative_to(inbox): path.read_bytes() for path in inbox.rglob("*.log")}
    backup = tmp_path_factory.mktemp("backup") / "all.tar"
    agent("backup", str(backup))
    agent("collect", "--once", "kalshi")
    later = {path.relative_to(inbox): path.read_bytes() for path in inbox.rglob("*.log")}
    assert later.keys() > before.keys()
    asked = len(server.log)
    shutil.rmtree(inbox / "polymarket")
    agent("restore", str(backup), "--force")
    assert {path.relative_to(inbox): path.read_bytes() for path in inbox.rglob("*.log")} == later
    agent("gc", "--keep-releases", "1", "--keep-days", "0")
    assert {path.relative_to(inbox) for path in inbox.rglob("*.log")} == later.keys()
    assert len(server.log) == asked


def test_keys_come_from_the_environment_or_a_file_that_nobody_else_reads(
    project: Path, agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = OandaVenue(markets(["EUR_USD"], 60, NOW))
    with serving({"oanda": venue}) as server:
        (project / "agent.toml").write_text(
            f'[sources.oanda]\nurl = "{server.url("oanda")}"\nhistory_days = 2.0\nrefresh_minutes = 0.0\n'
        )
        assert "OANDA_ACCOUNT with the key is not set" in agent("collect", "--once", code=1)
        assert server.log == []
        dotenv = project / ".env"
        dotenv.write_text("OANDA_TOKEN=secret\nOANDA_ACCOUNT=001-004\n")
        dotenv.chmod(0o644)
        assert "other users can read" in agent("collect", "--once", code=1)
        dotenv.chmod(0o600)
        agent("collect", "--once")
        monkeypatch.setenv("OANDA_TOKEN", "wrong")
        assert "does not accept the key" in agent("collect", "--once", code=1)
        agent("backup", str(project / "b.tar"))
    written = [path.read_bytes() for path in project.rglob("*") if path.is_file() and path.name != ".env"]
    assert not any(b"secret" in one or b"001-004" in one for one in written)


@needs_recordings
@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("polymarket", "polymarket"),
        ("kalshi", "kalshi"),
        ("oanda", "oanda"),
        ("exchange", "binance"),
        ("exchange", "coinbase"),
        ("exchange", "coinbase-exchange"),
    ],
)
def test_every_recorded_reply_is_parsed_or_is_said_to_be_none(
    tmp_path: Path, agent: Any, source: str, folder: str
) -> None:
    """No row in quarantine, no field that nobody knows; what is not collected says so."""
    (tmp_path / "agent.toml").write_text("")
    files = sorted(str(path) for path in (RECORDINGS / folder).glob("*.json"))
    found = agent("sources", "parse", source, *files, "--json", "--project-dir", str(tmp_path))
    assert [one["file"] for one in found] == files
    for one in found:
        assert [one[name] or None for name in ("quarantined", "error", "unknown_fields")] == [None] * 3, one
        if one["kind"] is None:
            assert one["note"].startswith("not collected: "), one
        else:
            assert one["read"] == one["rows"] + sum(one["passed_over"].values()), one
