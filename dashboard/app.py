"""The dashboard: `streamlit run dashboard/app.py` in a project's folder. What is served, and around what document."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard.shell import Shell

app = st.App(Path(__file__).with_name("page.py"), middleware=[Middleware(Shell)])
