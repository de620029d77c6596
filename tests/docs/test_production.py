"""The pages on production and PostgreSQL: metrics, settings and SQL are those of the program."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import psycopg
import pytest

from agent.cli.main import main
from agent.sections import alerts
from pipelines.settings import Faults, build
from tests.docs.pages import blocks
from tests.paths import PROJECT

PRODUCTION = PROJECT / "docs" / "how-to" / "production.md"
POSTGRESQL = PROJECT / "docs" / "how-to" / "postgresql.md"


def test_metrics_exist() -> None:
    named = set(re.findall(r"`(tidemill_\w+)", PRODUCTION.read_text(encoding="utf-8")))
    source = (PROJECT / "src" / "agent" / "api" / "metrics.py").read_text(encoding="utf-8")
    assert len(named) >= 5
    assert named <= set(re.findall(r'"(tidemill_\w+)"', source))


def test_alert_settings_are_settings() -> None:
    (toml,) = [block.text for block in blocks(PRODUCTION) if block.language == "toml"]
    faults = Faults(str(PRODUCTION))
    made = build(alerts.Settings, tomllib.loads(toml)["alerts"], "alerts", faults)
    faults.raise_if_any()
    assert (made.failures, made.period_minutes) == (alerts.Settings().failures, alerts.Settings().period_minutes)


def test_what_is_copied_to_the_server_runs_the_command_of_the_page() -> None:
    unit = (PROJECT / "deploy" / "tidemill.service").read_text(encoding="utf-8")
    text = PRODUCTION.read_text(encoding="utf-8")
    for place in ("/opt/tidemill", "/var/lib/tidemill", "/etc/tidemill.env"):
        assert place in unit
        assert place in text
    assert "useradd --uid 10001" in (PROJECT / "deploy" / "Containerfile").read_text(encoding="utf-8")


def test_the_database_is_made_as_written(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (sql,) = [block.text for block in blocks(POSTGRESQL) if block.language == "sql"]
    name = f"docs_{abs(hash(str(tmp_path))) % 10**9}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for statement in sql.replace("tidemill", name).split(";"):
            admin.execute(statement)  # type: ignore[call-overload]
        try:
            info = admin.info
            url = f"postgresql+psycopg://{name}:change-me@localhost:{info.port}/{name}"
            if info.host.startswith("/"):
                url = f"postgresql+psycopg://{name}:change-me@/{name}?host={info.host}&port={info.port}"
            assert url.partition("@")[0].replace(name, "tidemill") in POSTGRESQL.read_text(encoding="utf-8")
            monkeypatch.chdir(tmp_path)
            monkeypatch.setenv("AGENT_DATABASE_URL", url)
            for command in (["db", "upgrade"], ["worker", "--once"], ["backup", "before.tar"]):
                assert main(command) == 0, capsys.readouterr().err
            assert "tables at head" in capsys.readouterr().out
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute(f"DROP ROLE {name}")
