"""`make test-agent`: creates a project on a running server, queues a run, watches it and prints its events.

The server is http://localhost:8000 unless AGENT_URL says otherwise; AGENT_API_TOKEN is sent where it is set. Exit code
0 where the run ends COMPLETED. Needs nothing beside Python.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

URL = os.environ.get("AGENT_URL", "http://localhost:8000").rstrip("/")
PATIENCE_SECONDS = 300


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer's JSON. Ends the program with the server's own words where it refuses."""
    headers = {"Content-Type": "application/json"}
    if os.environ.get("AGENT_API_TOKEN"):
        headers["Authorization"] = f"Bearer {os.environ['AGENT_API_TOKEN']}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data=data, headers=headers, method=method)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the address is the operator's
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}")
    except urllib.error.URLError as error:
        sys.exit(f"no server at {URL} ({error.reason}): run `make start-agent` in another terminal first")


def main() -> int:
    """Returns the exit code."""
    print("worker:", ask("GET", "/worker/status"))
    name = f"test-{int(time.time())}"
    query = urllib.parse.urlencode({"name": name, "local_path": str(Path(tempfile.gettempdir()) / "tidemill" / name)})
    project = ask("POST", f"/projects?{query}")
    print("project:", project["id"], project["local_path"])
    run = ask("POST", "/runs", {"project_id": project["id"], "goal": "Test execution"})
    print("run:", run["id"], run["status"])
    seen, until = 0, time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        run = ask("GET", f"/runs/{run['id']}")
        for event in ask("GET", f"/runs/{run['id']}/events?after={seen}"):
            seen = event["seq"]
            part = event["payload"].get("component", "")
            print(f"  {event['created_at']}  {event['type']:<16} {part} {event['payload'].get('phase', '')}".rstrip())
        if run["status"] in ("COMPLETED", "FAILED", "CANCELLED"):
            print("run:", run["id"], run["status"], run["error"] or "")
            return 0 if run["status"] == "COMPLETED" else 1
        time.sleep(1)
    print(f"run {run['id']} is still {run['status']} after {PATIENCE_SECONDS} s", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
