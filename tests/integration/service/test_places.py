"""One folder, one home, one database for each project; one that is gone is not made again."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent import settings as agent_settings
from agent.errors import Conflict, NotFound
from agent.execution import lake_owner
from agent.execution.upkeep.gc import collect
from agent.service import projects
from agent.settings import Settings
from agent.store.control import runs
from agent.store.database import migrations
from agent.store.database.engine import Database, open_engine
from agent.store.database.urls import key_of
from pipelines.errors import SettingsError
from tests.served import INLINE
from tests.tiny import bring_up_to_date, opened, tiny_project

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, Database]:
    monkeypatch.setenv("AGENT_DATABASE_URL", database_url)
    base = tmp_path / "server"
    base.mkdir()
    (base / "agent.toml").write_text(INLINE + f'[api]\nproject_roots = ["{tmp_path}"]\n', encoding="utf-8")
    own = open_engine(database_url)
    return agent_settings.load(base), Database(control=own, project=own)


def add(server: tuple[Settings, Database], path: Path, name: str = "") -> projects.Project:
    settings, database = server
    return projects.create(database, settings, name=name or path.name, local_path=str(path), now=NOW)


def test_a_folder_is_one_project_s(server: tuple[Settings, Database], tmp_path: Path) -> None:
    first = add(server, tmp_path / "one")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    for path in (tmp_path / "one", tmp_path / "link", tmp_path / "one" / ".." / "one"):
        with pytest.raises(Conflict, match=f"project {first.id}"):
            add(server, path, "two")
    for path in (tmp_path / "server", tmp_path / "server" / ".tidemill", tmp_path / "server" / ".tidemill" / "x"):
        with pytest.raises(Conflict, match="the server's"):
            add(server, path, "two")
    assert add(server, tmp_path / "server" / "inner").id > first.id
    server[1].close()


def write(folder: Path, toml: str = "", env: str = "") -> Path:
    folder.mkdir()
    (folder / "agent.toml").write_text(toml, encoding="utf-8")
    (folder / ".env").write_text(env, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "line",
    ["AGENT_HOME=/tmp/x", "AGENT_DATABASE_URL=sqlite:////tmp/x", "AGENT_API_TOKEN=x", "AGENT_DASHBOARD_PASSWORD=x"],
)
def test_a_project_s_env_may_not_say_where_things_lie(
    server: tuple[Settings, Database], tmp_path: Path, line: str
) -> None:
    settings, database = server
    folder = write(tmp_path / "own", env=f"{line}\nWORKER_BATCH_SIZE=3\n")
    made = add(server, folder)
    with pytest.raises(SettingsError, match=line.partition("=")[0]), projects.open_project(settings, database, made.id):
        pass
    database.close()


def test_home_and_database_are_one_project_s_where_they_may_be_set(
    server: tuple[Settings, Database], tmp_path: Path
) -> None:
    settings, database = server
    toml = (settings.base / "agent.toml").read_text(encoding="utf-8") + "projects_may_move = true\n"
    (settings.base / "agent.toml").write_text(toml, encoding="utf-8")
    server = agent_settings.load(settings.base), database
    home = tmp_path / "shared"
    add(server, write(tmp_path / "first", env=f"AGENT_HOME={home}\n"))
    for number, other in enumerate((home, home / "inner", tmp_path, settings.home)):
        with pytest.raises(Conflict, match="home"):
            add(server, write(tmp_path / f"second{number}", env=f"AGENT_HOME={other}\n"))
    with pytest.raises(Conflict, match="its database is the server's"):
        add(server, write(tmp_path / "third", toml=f'[database]\nurl = "{settings.database_url}"\n'))
    add(server, write(tmp_path / "fourth", toml=f'[database]\nurl = "sqlite:///{tmp_path}/own.sqlite"\n'))
    with pytest.raises(Conflict, match="its database is that of project"):
        add(server, write(tmp_path / "fifth", toml=f'[database]\nurl = "sqlite:///{tmp_path}/x/../own.sqlite"\n'))
    database.close()


def test_a_place_is_the_same_however_it_is_written() -> None:
    same = "postgresql://a:b@host/db", "postgresql+psycopg://c@host:5432/db", "postgresql://?host=host&dbname=db"
    assert len({key_of(url) for url in same}) == 1
    assert key_of(same[0]) != key_of("postgresql://a:b@host/db?schema=other")
    assert key_of("sqlite:////x/../y.sqlite") == key_of("sqlite:////y.sqlite")


def test_a_folder_that_is_gone_is_not_made_again(server: tuple[Settings, Database], tmp_path: Path) -> None:
    settings, database = server
    made = add(server, tmp_path / "own")
    with projects.open_project(settings, database, made.id):
        pass
    shutil.rmtree(tmp_path / "own")
    with pytest.raises(NotFound, match="gone"), projects.open_project(settings, database, made.id):
        pass
    assert not (tmp_path / "own").exists()
    database.close()


def test_a_mount_point_without_its_disk_is_no_new_project(server: tuple[Settings, Database], tmp_path: Path) -> None:
    settings, database = server
    made = add(server, tmp_path / "own")
    with projects.open_project(settings, database, made.id):
        pass
    with database.writing() as connections:
        runs.create_run(
            connections.control,
            project_id=made.id,
            goal="g",
            targets=(),
            force=(),
            trigger="person",
            status="COMPLETED",
            now=NOW,
        )
    shutil.rmtree(tmp_path / "own" / ".tidemill", ignore_errors=True)  # PostgreSQL has the state elsewhere
    with pytest.raises(NotFound, match="gone") as refused, projects.open_project(settings, database, made.id):
        pass
    assert "mount" in refused.value.fix
    assert list((tmp_path / "own").iterdir()) == []
    database.close()


def test_a_lake_is_one_database_s(tmp_path: Path, database_url: str) -> None:
    """A second database over the same home: it may neither commit nor delete."""
    folder = tiny_project(tmp_path / "tiny", url=database_url)
    with opened(folder) as workspace:
        assert bring_up_to_date(workspace).status == "COMPLETED"
        lake = workspace.settings.lake_path
        before = {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    tiny_project(tmp_path / "tiny", values=(4, 5), url=other)
    engine = open_engine(other)
    migrations.upgrade(engine)
    with pytest.raises(Conflict, match="another database's"), opened(folder) as workspace:
        bring_up_to_date(workspace)
    foreign = Database(control=engine, project=engine)
    settings = agent_settings.load(folder, {})
    with pytest.raises(Conflict, match="another database's"):
        collect(settings, foreign, (), keep_releases=1, keep_days=0, now=datetime.now(UTC) + timedelta(days=9))
    with pytest.raises(Conflict, match="another database's"), foreign.reading() as connections:
        lake_owner.require_own(connections, lake)
    foreign.close()
    assert {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()} == before
    tiny_project(tmp_path / "tiny", values=(4, 5), url=database_url)
    with opened(folder) as workspace:
        assert bring_up_to_date(workspace).status == "COMPLETED"
