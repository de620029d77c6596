"""A project under torture that is not the server's own: its runs lie in the server's database, its state elsewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from agent.store.control import projects
from agent.store.database import migrations
from agent.store.database.engine import of_project, open_engine, reading, writing
from agent.store.tables import PROJECT, metadata
from tests.processes import Process
from tests.torture.world import World

_OWN = {table.name for table in metadata.tables.values() if table.schema == PROJECT}
_TABLE = re.compile(r"(?<=FROM )\w+")


@dataclass
class Beside(World):
    """Project 1 of a server. On PostgreSQL its state has a schema of the server's database, on SQLite a file."""

    @property
    def server(self) -> Path:
        """The server's folder."""
        return self.folder.parent / "server"

    def __post_init__(self) -> None:
        self.server.mkdir()
        (self.server / "agent.toml").write_text(f"[database]\nurl = {json.dumps(self.url)}\n", encoding="utf-8")
        engine = open_engine(self.url)
        with writing(engine) as conn:
            now = datetime.now(UTC)
            assert projects.create_project(conn, name="beside", local_path=str(self.folder), now=now).id == 1
        if engine.dialect.name == "postgresql":
            migrations.ensure_current(of_project(engine, 1), automatic=True)
        engine.dispose()
        super().__post_init__()

    def settings(self, extra: str = "") -> None:
        """As of a project with a database of its own, without naming it."""
        super().settings(extra)
        path = self.folder / "agent.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f"[database]\nurl = {json.dumps(self.url)}\n", ""), encoding="utf-8")

    def start(
        self, program: str, *arguments: str, fault: dict[str, Any] | None = None, env: dict[str, str] | None = None
    ) -> Process:
        return super().start(program, *arguments, fault=fault, env={**(env or {}), "TIDE_SERVER": str(self.server)})

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        table = _TABLE.search(sql)
        assert table is not None, sql
        is_own, is_sqlite = table[0] in _OWN, self.url.startswith("sqlite")
        if is_own and not is_sqlite:
            sql = _TABLE.sub(r"project_1.\g<0>", sql)
        own = f"sqlite:///{self.folder}/.tidemill/state.sqlite"
        engine = open_engine(own if is_own and is_sqlite else self.url)
        try:
            with reading(engine) as conn:
                return [dict(row) for row in conn.execute(sa.text(sql), values).mappings()]
        finally:
            engine.dispose()

    def successes(self, history: Sequence[dict[str, Any]]) -> Counter[str]:
        """Two files: an attempt closed by recovery, of whose success the server's file did not know, has no event."""
        if not self.url.startswith("sqlite"):
            return super().successes(history)
        return Counter(
            row["component"] for row in self.rows("SELECT component FROM attempts WHERE status = 'succeeded'")
        )

    def reset(self) -> None:
        super().reset()  # the server's database, and the default project's tables in it
        if not self.url.startswith("sqlite"):
            with self.connected(write=True) as conn:
                conn.execution_options(schema_translate_map={PROJECT: "project_1"})
                for table in reversed(metadata.sorted_tables):
                    if table.schema == PROJECT:
                        conn.execute(sa.delete(table))
