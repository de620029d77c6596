"""How a project's health is told: the worst first, in words."""

from __future__ import annotations

from agent.core.model import Block, Code, Compute, Defer, Reason, Skip, State
from dashboard import health
from dashboard.health import Look
from tests.lazy import Lazy

access = Lazy("dashboard.access")

NEVER = Compute("ticks", (Reason(Code.NEVER_RUN),))
RAN = State("ticks", is_dirty=False, run_count=3)


def test_a_component_is_told_as_it_stands() -> None:
    def word(state: State, step: object, *, is_at_work: bool = False) -> str:
        return health.look(state, step, is_at_work=is_at_work).word  # type: ignore[arg-type]  # any step

    assert word(State("ticks"), NEVER) == "never run"
    assert word(RAN, Skip("ticks")) == "up to date"
    assert word(RAN, Compute("ticks", (Reason(Code.MARKED),))) == "stale"
    assert word(RAN, Compute("ticks", (Reason(Code.MARKED),), may_be_cut_off=True)) == "maybe stale"
    assert word(RAN, Defer("ticks", (), until="tomorrow")) == "deferred"
    assert word(RAN, Block("ticks", by="markets")) == "blocked"
    assert word(State("ticks", status="failed", last_error="no disk\nwhere: /"), None) == "failed"
    assert word(State("ticks", status="running"), None, is_at_work=True) == "running"
    assert word(State("ticks", status="running"), None, is_at_work=False) == "died"


def test_the_worst_is_told_first() -> None:
    fresh, stale, failed = Look("up to date", ""), Look("stale", ""), Look("failed", "")

    def sentence(*looks: Look, is_running: bool = False, has_release: bool = True) -> str:
        named = {f"c{number}": one for number, one in enumerate(looks)}
        return health.headline(named, is_running=is_running, has_release=has_release)[1]

    assert sentence(fresh, fresh) == "All 2 components are up to date."
    assert sentence(fresh, stale).startswith("c1 is stale")
    assert sentence(failed, stale) == "c0 failed: the error is below."
    blocked, deferred = Look("blocked", ""), Look("deferred", "")
    assert sentence(fresh, blocked) == "c1 waits for what it needs."
    assert sentence(blocked, blocked) == "c0 and c1 wait for what they need."
    assert sentence(fresh, deferred) == "c1 waits by its own policy; the rest is current."
    assert sentence(deferred, deferred) == "c0 and c1 wait by their own policies; the rest is current."
    assert sentence(stale, is_running=True) == "A run is going on."
    assert sentence(health.plain("died"), is_running=True).startswith("The process that ran c0 died")
    assert "press Run Agent Once" in sentence(health.plain("never run"), has_release=False)


def test_only_this_machine_is_loopback() -> None:
    assert all(access.is_loopback(one) for one in ("127.0.0.1", "127.0.0.2", "::1", "localhost"))
    assert not any(access.is_loopback(one) for one in ("0.0.0.0", "::", "192.168.1.4", "example.org", ""))
