"""The document that the dashboard serves: ours is part of it, whatever the browser has kept of Streamlit's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from dashboard.palette import BLUE
from dashboard.shell import Shell
from tests.asgi import TestClient
from tests.paths import PROJECT

STYLE = (PROJECT / "dashboard" / "shell.css").read_text(encoding="utf-8")
DOCUMENT = f"<html><head></head><body>{'first ' * 20_000}</body></html>"  # more than one piece


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """Of an application that serves a file as Streamlit does."""
    file = tmp_path / "index.html"
    file.write_text(DOCUMENT, encoding="utf-8")

    def document(request: Request) -> Response:
        if "if-none-match" in request.headers:
            return Response(status_code=304)
        return FileResponse(file)

    def data(request: Request) -> Response:
        return JSONResponse({"text": "</body>"}, headers={"etag": "kept"})

    routes = [Route("/", document), Route("/data", data)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Shell), Middleware(GZipMiddleware)]))


def test_a_document_ends_with_style_and_script(client: TestClient) -> None:
    answer = client.get("/", headers={"accept": "text/html,*/*"})
    assert answer.text.startswith(DOCUMENT.removesuffix("</body></html>"))
    assert STYLE in answer.text
    assert answer.text.endswith("</script></body></html>")
    assert answer.headers["content-length"] == str(len(answer.content))


def test_what_the_browser_kept_is_not_asked_for(client: TestClient) -> None:
    assert not {"etag", "last-modified"} & client.get("/", headers={"accept": "text/html"}).headers.keys()
    for name in ("if-none-match", "if-modified-since", "range"):
        answer = client.get("/", headers={"accept": "text/html", name: "bytes=0-9"})
        assert answer.status_code == 200
        assert STYLE in answer.text


def test_other_answers_stay_as_they_are(client: TestClient) -> None:
    answer = client.get("/data", headers={"accept": "*/*"})
    assert answer.json() == {"text": "</body>"}
    assert answer.headers["etag"] == "kept"
    assert "content-length" not in client.head("/").headers or client.head("/").content == b""


def test_colours_are_the_palette_s() -> None:
    assert f"background:{BLUE}}}" in STYLE


def test_no_rule_looks_into_elements() -> None:
    # :has is asked again for all ancestors of whatever is added: a chart of 500 candles took 2.2 s of a browser instead
    # of 0.5 s.
    assert ":has(" not in STYLE.replace(" ", "")


def test_the_table_s_script_is_named_where_streamlit_serves_it(client: TestClient) -> None:
    named = re.findall(r'data-ahead="\./([^"]+)"', client.get("/", headers={"accept": "text/html"}).text)
    assert len(named) == 1
    assert (Path(streamlit.__file__).parent / "static" / named[0]).is_file()
