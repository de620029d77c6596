"""The files source on files behind URLs: a real HTTP server on loopback that counts what is asked, and fsspec's memory.

A server says of each file what a test lets it say; nothing is fetched twice unless its token differs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipelines.data.file_tables.find import REMOTE_FOLDER
from pipelines.data.file_tables.remote import token_of
from pipelines.data.file_tables.remote_faults import fault_of, shown
from pipelines.errors import BadInput, PipelineError, SettingsError, TransientError
from pipelines.sources.files import FilesSource
from tests.integration.sources.test_files import BARS, CSV, source

OTHER = CSV.replace("2.5,10", "2.5,99")


class Site:
    """What the server has, how it answers, and what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.status: dict[str, int] = {}
        self.cut: set[str] = set()  # connections that break off in the middle of these
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    def bodies(self) -> list[str]:
        """Paths whose content was asked for."""
        return [path for method, path in self.asked if method == "GET"]


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            site.asked.append((self.command, path))
            body = site.files.get(path, b"")
            self.send_response(site.status.get(path, 200 if path in site.files else 404))
            self.send_header("Content-Length", str(len(body)))
            for name, value in site.headers.get(path, {}).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body[: len(body) // 2] if path in site.cut else body)
                self.close_connection = True

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass  # not into the output of the tests

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


def web(site: Site, base: Path, path: str = "/d/BTC.csv") -> FilesSource:
    return source(base, {**BARS, "path": site.url + path})


def copies(base: Path) -> list[str]:
    return sorted(file.name for file in (base / REMOTE_FOLDER).rglob("*") if file.is_file())


def volumes(made: FilesSource) -> list[float | None]:
    made.markets()
    return [row for part in made.probe().parts for row in made.fetch(part).frame["volume"].to_list()]


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {"Last-Modified": "Wed, 01 Jan 2020 12:00:00 GMT"}])
def test_a_file_is_fetched_once_and_again_when_it_changed(tmp_path: Path, site: Site, headers: dict[str, str]) -> None:
    site.files["/d/BTC.csv"], site.headers["/d/BTC.csv"] = CSV.encode(), headers
    before = web(site, tmp_path).probe().parts
    assert list(before) == [f"{site.url}/d/BTC.csv"]
    assert site.bodies() == []  # a probe fetches nothing
    assert volumes(web(site, tmp_path)) == [10, None]
    assert volumes(web(site, tmp_path)) == [10, None]
    assert web(site, tmp_path).probe().parts == before
    assert site.bodies() == ["/d/BTC.csv"]

    changed = {"ETag": '"two"'} if "ETag" in headers else {"Last-Modified": "Thu, 02 Jan 2020 12:00:00 GMT"}
    site.files["/d/BTC.csv"], site.headers["/d/BTC.csv"] = OTHER.encode(), changed
    assert web(site, tmp_path).probe().parts != before
    assert volumes(web(site, tmp_path)) == [99, None]
    assert site.bodies() == ["/d/BTC.csv"] * 2


def test_without_etag_and_time_the_content_is_the_token(tmp_path: Path, site: Site) -> None:
    site.files["/d/BTC.csv"] = CSV.encode()
    before = web(site, tmp_path).probe().parts
    assert web(site, tmp_path).probe().parts == before
    site.files["/d/BTC.csv"] = OTHER.encode()  # as long as before
    assert web(site, tmp_path).probe().parts != before
    assert volumes(web(site, tmp_path)) == [99, None]


def test_the_time_of_a_copy_is_that_of_the_file(tmp_path: Path, site: Site) -> None:
    """A bar that was running when the file was written is not over."""
    site.files["/d/BTC.csv"] = CSV.encode()
    site.headers["/d/BTC.csv"] = {"ETag": "1", "Last-Modified": "Wed, 01 Jan 2020 00:07:00 GMT"}
    made = web(site, tmp_path)
    written_at = made.fetch(f"{site.url}/d/BTC.csv").written_at
    assert written_at is not None
    assert written_at.isoformat() == "2020-01-01T00:07:00+00:00"


@pytest.mark.parametrize(
    ("status", "kind", "what"),
    [
        (404, BadInput, "there is no such file"),
        (410, BadInput, "there is no such file"),
        (401, BadInput, "refuses access"),
        (403, BadInput, "refuses access"),
        (400, BadInput, "answers HTTP 400"),
        (429, TransientError, "HTTP 429"),
        (500, TransientError, "HTTP 500"),
        (503, TransientError, "HTTP 503"),
    ],
)
def test_what_a_server_refuses_is_said(
    tmp_path: Path, site: Site, status: int, kind: type[PipelineError], what: str
) -> None:
    site.status["/d/BTC.csv"] = status
    with pytest.raises(kind, match=what) as caught:
        web(site, tmp_path, "/d/BTC.csv?token=hidden").probe()
    assert caught.value.where == f"{site.url}/d/BTC.csv"
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nobody_there(tmp_path: Path, site: Site) -> None:
    port = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    address = f"http://127.0.0.1:{port.server_port}/BTC.csv?token=hidden"
    port.server_close()
    with pytest.raises(TransientError, match="cannot be reached") as caught:
        source(tmp_path, {**BARS, "path": address}).probe()
    assert "hidden" not in str(caught.value)


def test_a_connection_that_breaks_leaves_nothing_half(tmp_path: Path, site: Site) -> None:
    site.files["/d/BTC.csv"], site.headers["/d/BTC.csv"] = CSV.encode(), {"ETag": "1"}
    site.cut.add("/d/BTC.csv")
    made = web(site, tmp_path)
    with pytest.raises(TransientError, match="broke off"):
        made.fetch(f"{site.url}/d/BTC.csv")
    assert copies(tmp_path) == []
    site.cut.clear()
    assert volumes(made) == [10, None]
    assert copies(tmp_path) == ["BTC.csv"]


def test_copies_that_no_part_refers_to_are_deleted(tmp_path: Path, site: Site) -> None:
    site.files["/d/BTC.csv"], site.headers["/d/BTC.csv"] = CSV.encode(), {"ETag": "1"}
    volumes(web(site, tmp_path))
    site.headers["/d/BTC.csv"] = {"ETag": "2"}
    volumes(web(site, tmp_path))
    assert len(copies(tmp_path)) == 2  # a run that began before may still read the first
    long_ago = time.time() - 4000
    for folder in (tmp_path / REMOTE_FOLDER).iterdir():
        os.utime(folder, (long_ago, long_ago))
    volumes(web(site, tmp_path))
    assert len(copies(tmp_path)) == 1
    assert site.bodies() == ["/d/BTC.csv"] * 2


def test_tables_of_markets_and_bad_rows_are_those_of_local_files(tmp_path: Path, site: Site) -> None:
    bad = CSV.replace("2.5,4,2,3,", "2.5,4,-2,3,")
    site.files = {"/BTC.csv": bad.encode(), "/table.csv": b"name,status\nBTC,open\n"}
    site.headers = {path: {"ETag": path} for path in site.files}
    markets = {"path": f"{site.url}/table.csv", "id": "name"}
    (tmp_path / "BTC.csv").write_text(bad)
    (tmp_path / "table.csv").write_text("name,status\nBTC,open\n")
    there = source(tmp_path, {**BARS, "path": f"{site.url}/BTC.csv", "markets": markets})
    here = source(tmp_path, {**BARS, "path": "BTC.csv", "markets": {**markets, "path": "table.csv"}})
    assert there.markets().equals(here.markets())
    far, near = there.fetch(f"{site.url}/BTC.csv"), here.fetch("BTC.csv")
    assert far.frame.equals(near.frame)
    assert far.read == near.read


def test_a_glob_and_a_folder_of_memory(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}"
    try:
        memory.pipe({f"{root}/b/ETH.csv": CSV.encode(), f"{root}/a/BTC.csv": CSV.encode(), f"{root}/note.txt": b"-"})
        names = [f"memory://{root}/a/BTC.csv", f"memory://{root}/b/ETH.csv"]
        for path in (f"memory://{root}/*/*.csv", f"memory://{root}", [names[1], names[0]]):
            made = source(tmp_path, {**BARS, "path": path})
            before = made.probe().parts
            assert list(before) == names
            assert volumes(made) == [10, None, 10, None]
            assert made.markets()["external_id"].to_list() == ["BTC", "ETH"]
        memory.pipe(f"{root}/a/BTC.csv", OTHER.encode())
        after = made.probe().parts
        assert [name for name in names if after[name] != before[name]] == names[:1]
        assert volumes(made) == [99, None, 10, None]
        with pytest.raises(BadInput, match="no file matches"):
            source(tmp_path, {**BARS, "path": f"memory://{root}/*.parquet"}).probe()
        with pytest.raises(BadInput, match="no such file"):
            source(tmp_path, {**BARS, "path": f"memory://{root}/SOL.csv"}).probe()
    finally:
        memory.rm(root, recursive=True)


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gcs"), ("gcs", "gcs"), ("s3a", "s3")])
def test_a_driver_that_is_missing_is_named(scheme: str, extra: str) -> None:
    error = fault_of(f"{scheme}://bucket/a.csv", ImportError("no driver"))
    assert error.fix == f'pip install "tidemill[{extra}]"'


def test_an_unknown_scheme(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing here reads nowhere://"):
        source(tmp_path, {**BARS, "path": "nowhere://bucket/a.csv"}).probe()


def test_keys_do_not_belong_into_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="user or password") as caught:
        source(tmp_path, {**BARS, "path": "https://me:hidden@example.org/a.csv"})
    assert "hidden" not in str(caught.value)
    assert shown("https://me:hidden@example.org/a.csv?key=hidden#x") == "https://example.org/a.csv"


@pytest.mark.parametrize(
    ("info", "token"),
    [
        ({"ETag": '"x"', "LastModified": 1, "size": 2}, 'etag:"x"'),
        ({"generation": "7", "size": 2}, "generation:7"),
        ({"LastModified": 1, "size": 2}, "2:1"),
        ({"size": 2}, None),
        ({"size": 2, "ETag": None}, None),
    ],
)
def test_tokens(info: dict[str, Any], token: str | None) -> None:
    assert token_of(info) == token
