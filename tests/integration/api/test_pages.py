"""What the pages at / say: how components stand, what failed and its cause, questions, prices, live scores."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent import orchestrator
from agent.cli.main import main
from agent.execution.backtests import find_backtests, read_pair
from agent.execution.tries.performing import open_try, perform
from agent.store.comparing import load_comparison
from agent.store.database.engine import open_engine, writing
from agent.store.outputs.projections import decisions_of
from agent.store.outputs.releases import current_release
from agent.store.published import markets, predictions
from agent.store.state import load_states
from pipelines.figures import percent_text
from tests.integration.api.conftest import MakeClient
from tests.integration.api.test_security import form_token
from tests.served import FAILING
from tests.tiny import opened

OFF = "[worker]\nenabled = false\n"


def without_labels(page: str) -> str:
    """A page without what its cells say on phones."""
    return re.sub(' data-label="[^"]*"', "", page)


def test_a_failure_is_on_the_first_page_with_its_cause_and_can_be_tried_again(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client(FAILING + OFF)
    run_id = client.post("/runs", json={"goal": "publish"}).json()["id"]
    client.app.state.server.worker.process()  # type: ignore[attr-defined]
    page = client.get("/").text
    assert re.search(r"markets</a> failed", page)
    assert "no-such-folder" in page
    assert f'href="/ui/runs/{run_id}"' in page
    assert re.search(r"ticks</a></td><td[^>]*>never run<", page)
    own = open_engine(f"sqlite:///{tmp_path / '.tidemill' / 'state.sqlite'}")
    with writing(own) as conn:
        conn.execute(sa.text("UPDATE attempts SET traceback = 'Traceback: <b> postgresql://u:hunter22hunter22@h/d'"))
    run_page = client.get(f"/ui/runs/{run_id}").text
    assert "Traceback: &lt;b&gt; postgresql://" in run_page
    assert "hunter22" not in run_page
    again = client.post(f"/ui/runs/{run_id}/retry", data={"csrf": form_token(client)})
    assert (again.status_code, again.headers["location"]) == (303, f"/ui/runs/{run_id + 1}")
    assert client.get(f"/runs/{run_id + 1}").json()["retry_of"] == run_id


def test_questions_prices_and_live_scores(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    with opened(published) as workspace, workspace.database.writing() as connections:
        conn = connections.project
        first = conn.execute(sa.select(predictions).order_by(predictions.c.id)).mappings().first()
        assert first is not None
        its = markets.c.market_id == first["market_id"]
        conn.execute(sa.update(markets).where(its).values(question="Will it <rain>?", tick_size=0.0001))
        outcome = {"outcome": 1, "realized_return": 0.01, "settled_at": datetime(2013, 4, 1, tzinfo=UTC)}
        conn.execute(sa.update(predictions).where(predictions.c.id == first["id"]).values(**outcome))
    page = client.get("/").text
    assert "Will it &lt;rain&gt;?" in page
    assert f"{first['price']:,.4f} USD</td>" in page
    brier = (first["probability"] - 1) ** 2
    assert f"Brier score {brier:.4f} on 1 prediction; always saying how often it came true (100.0 %, " in page
    assert "which only hindsight knows) would have 0.0000" in page
    assert "NO EDGE" in page
    release = client.get("/ui/release", follow_redirects=True).text
    assert '<td>return a year</td><td class="number">' in without_labels(release)


def test_each_thing_has_an_address_and_each_name_leads_to_it(make_client: MakeClient, published: Path) -> None:
    client = make_client()
    with opened(published) as workspace, workspace.database.reading() as connections:
        release = current_release(connections.project)
        assert release is not None
        market = decisions_of(connections.project, release, 1)[0]["market_id"]
    first = client.get("/").text
    for address in ("/ui/components/model", f"/ui/markets/{market}", f"/ui/releases/{release.name}"):
        assert f'href="{address}"' in first, address
        assert client.get(address).status_code == 200, address
    assert client.get("/ui/release").headers["location"] == f"/ui/releases/{release.name}"
    run = f'href="/ui/runs/{release.run_id}"'
    assert run in client.get("/ui/components/model").text
    assert run in client.get(f"/ui/releases/{release.name}").text
    compared = client.get("/ui/compare", params={"before": release.name, "after": release.name}).text
    compared = without_labels(compared)
    assert "Nothing behind them differs." in compared
    figures = release.metrics["backtest"]["model"]
    assert (
        f'<td>total return of the backtest</td><td class="number">{percent_text(figures["total_return"])}' in compared
    )


def test_a_component_says_what_its_output_came_from_and_who_used_it(make_client: MakeClient, published: Path) -> None:
    page = make_client().get("/ui/components/model").text
    with opened(published) as workspace, workspace.database.reading() as connections:
        release = current_release(connections.project)
        states = load_states(connections.project)
    assert release is not None
    used, _, origins = page.partition("Where the newest one came from")
    assert f"<code>{(states['model'].output_version or '')[:12]}</code>" in used
    assert f'href="/ui/releases/{release.name}"' in used
    lines = [re.sub("<[^>]+>", "", line) for line in re.findall("<li>(.*?)</li>", origins)]
    versions = {name: (row.output_version or "")[:8] for name, row in states.items()}
    run = f"made in run {release.run_id} read"
    assert lines[0] == f"model {versions['model']} {run} features {versions['features']}, markets {versions['markets']}"
    assert f"ticks {versions['ticks']} {run} markets {versions['markets']}, source sample: AAPL, FB" in "\n".join(lines)
    assert "it has never run" in origins, "why its attempt ran"


@pytest.mark.parametrize(
    "address",
    [
        "/ui/components/no-such",
        "/ui/markets/no:such/one",
        "/ui/releases/no-such",
        "/ui/runs/999",
        "/ui/compare?before=no-such&after=no-such",
    ],
)
def test_an_address_that_leads_nowhere_says_so_on_a_page(make_client: MakeClient, address: str) -> None:
    answer = make_client().get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "There is no" in answer.text


def test_a_browser_is_told_on_a_page_and_a_program_in_json(make_client: MakeClient) -> None:
    client = make_client()
    shown = client.get("/no-such", headers={"accept": "text/html,*/*;q=0.8"})
    assert (
        shown.status_code,
        "There is no such page: go on from one of these" in shown.text,
        'href="/ui/runs"' in shown.text,
    ) == (*(404, True, True),)
    assert client.get("/no-such").json()["fix"] == "GET /openapi.json lists the addresses"
    report = client.get("/ui/release/report")
    assert (report.status_code, "Nothing has been released yet" in report.text) == (404, True)


def test_two_releases_say_why_they_differ(make_client: MakeClient, published: Path) -> None:
    """One setting is changed: it is named, and so are the trades that only one of both made."""
    with opened(published) as workspace, workspace.database.reading() as connections:
        before = current_release(connections.project)
    assert before is not None
    (published / "agent.toml").write_text("[inference]\nmargin = 0.03\n", encoding="utf-8")
    assert orchestrator.run_once(published).status == "COMPLETED"
    with opened(published) as workspace, workspace.database.reading() as connections:
        after = current_release(connections.project)
        assert after is not None
        found = find_backtests(connections, load_comparison(connections, before.name, after.name).backtests)
        assert found is not None
        pair = read_pair(workspace.lake, found)
    assert pair is not None
    page = make_client().get("/ui/compare", params={"before": before.name, "after": after.name}).text
    assert "Only [inference] margin 0.0 → 0.03 differs." in page
    then, now = (int(one.metrics["backtest"]["model"]["trades"]) for one in (before, after))
    assert then != now
    only_then, only_now = pair.trades.before.height, pair.trades.after.height
    assert (pair.trades.both + only_then, pair.trades.both + only_now) == (then, now)
    assert f"{pair.trades.both:,} in both; {only_then:,} only before" in page
    rows = re.findall(r'<tr( class="soft")?><td>', page.partition("<h2>Figures")[2].partition("</table>")[0])
    assert rows == sorted(rows)  # what changed comes first
    assert page.count("<polyline class=") == 2
    pairs = without_labels(page.partition("On the same rows")[2].partition("</table>")[0])
    assert '<td>Brier score</td><td class="number">same</td><td class="number"></td>' in pairs, "it is one model"


def test_a_try_is_compared_with_the_release_in_force(make_client: MakeClient, published: Path) -> None:
    with open_try(published, {"inference": {"margin": 0.03}}, "wary") as (one, workspace):
        assert perform(workspace, one, stop=lambda: None).status == "COMPLETED"
    page = make_client().get("/ui/compare", params={"before": "wary", "after": "current"}).text
    assert "to try wary (" in page
    assert "Only [inference] margin 0.0 → 0.03 differs." in page
    assert re.search(r"What try wary took\. Computed inference, backtest, publish: [0-9.]+ s, [0-9,]+ rows\.", page)
    assert "decision" in page.partition("<h2>Decisions")[2]


def test_a_grid_is_a_table_that_can_be_sorted(
    make_client: MakeClient, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["try", "--grid", "inference.margin=0.03,0,0.9", "--name", "wide"]
    assert main(["--project-dir", str(published), *options]) == 0
    assert main(["--project-dir", str(published), "try", "--set", "inference.margin=0.03", "--name", "same"]) == 0
    client = make_client()
    same = client.get("/ui/compare", params={"before": "current", "after": "same"}).text
    assert re.search(r"Computed nothing: 0\.0 s, 0 rows\. Found computed already: [a-z, ]+, [1-9][0-9,]* rows\.", same)
    assert '<a href="/ui/tries/wide">wide</a>' in client.get("/ui/release", follow_redirects=True).text
    page = client.get("/ui/tries/wide", params={"sort": "trades", "down": 1}).text
    assert "3 of 3 cells are computed." in page
    table = without_labels(page.partition("<thead>")[2].partition("</table>")[0])
    assert 'aria-sort="descending"' in table
    assert ">inference.margin</a>" in table
    assert ">Brier score</a>" not in table, "it is one model"
    place = re.findall(r">([^<]*)</a></th>", table).index("trades")
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.partition("<tbody>")[2].split("<tr>")[1:]]
    trades = [int(row[place].replace(",", "")) for row in rows]
    assert trades == sorted(trades, reverse=True)
    assert trades[0] > trades[-1]
    assert client.get("/ui/tries/no-such").status_code == 404
