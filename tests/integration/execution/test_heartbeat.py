"""The heartbeat while its database is away: said once, and once when it is back."""

from __future__ import annotations

import pytest

from agent.execution.heartbeat import Beat
from agent.store.engine import Database, open_engine
from tests.served import wait_until


def test_a_database_that_is_away_is_told_once(
    sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(sqlite_url)
    looks: list[int] = []
    look = Beat._look

    def counted(self: Beat) -> None:
        looks.append(1)
        if len(looks) <= 5:
            look(self)  # there is no run 999: an error each time

    monkeypatch.setattr(Beat, "_look", counted)
    with Beat(Database(control=engine, project=engine), 999, lease_seconds=0.06):
        wait_until(lambda: len(looks) > 6)
    engine.dispose()
    said = [record.getMessage() for record in caplog.records if record.name == "tidemill.heartbeat"]
    assert [text.partition(":")[0] for text in said] == [
        "the heartbeat of run 999 fails",
        "the heartbeat of run 999 is back",
    ]
