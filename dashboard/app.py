"""The dashboard: `streamlit run dashboard/app.py` in a project's folder. What is served, and around what document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard import libraries
from dashboard.shell import Shell


@asynccontextmanager
async def _served(_app: st.App) -> AsyncIterator[None]:
    libraries.fetch()
    yield


app = st.App(Path(__file__).with_name("page.py"), lifespan=_served, middleware=[Middleware(Shell)])
