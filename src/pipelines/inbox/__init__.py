"""Replies of remote sources as they came: pages in files (pages, writer, compaction), rows of a page (rows), and the
source that reads them offline (collected). Nothing here uses the network."""

from __future__ import annotations

from pathlib import Path

INBOX_FOLDER = Path(".tidemill") / "inbox"  # below the project's folder, where nothing else is said
