"""The page, as Streamlit runs it for each viewer: finds the tabs, guards the door, shows errors.

A tab is a file in dashboard/tabs/ with TITLE, ICON, ORDER and `show(desk)`, and `is_shown(desk)` where it is hidden at
times. Only the open one computes anything.
"""

from __future__ import annotations

import importlib
from functools import partial
from importlib import resources
from pathlib import Path
from types import ModuleType

import streamlit as st

from agent.sections.dashboard import Settings as DashboardSettings
from dashboard import access, data, libraries, look, memory
from dashboard.data import Session
from dashboard.guard import guarded
from pipelines.errors import PipelineError

# Ours, beside the page: a material icon's picture would be asked for from the outside.
_ICON = str(resources.files("agent") / "api" / "static" / "icon.svg")
_TABS = Path(__file__).parent / "tabs"


def main() -> None:
    """Run the page that is open."""
    st.set_page_config(page_title="Tidemill", page_icon=_ICON, layout="wide")
    memory.keep_small()
    libraries.fetch().join()
    try:
        desk = data.open_desk()
    except PipelineError as error:
        st.title("Tidemill")
        look.fault(error)
        return
    pages = [_page(tab, desk, is_first=number == 0) for number, tab in enumerate(_tabs(desk))]
    page = st.navigation(pages, position="top")
    look.title(page.title)
    # After the navigation, which would otherwise forget the address that was asked for.
    access.require(desk.workspace.settings.of(DashboardSettings))
    page.run()
    libraries.leave_out()


def _tabs(desk: Session) -> list[ModuleType]:
    """Those with something to show, in their order."""
    names = [path.stem for path in _TABS.glob("*.py") if not path.stem.startswith("_")]
    tabs = [importlib.import_module(f"dashboard.tabs.{name}") for name in names]
    tabs = [tab for tab in tabs if not hasattr(tab, "is_shown") or tab.is_shown(desk)]
    return sorted(tabs, key=lambda tab: int(tab.ORDER))


def _page(tab: ModuleType, desk: Session, *, is_first: bool) -> st.Page:
    name = tab.__name__.rpartition(".")[2]
    return st.Page(partial(guarded(tab.show), desk), title=tab.TITLE, icon=tab.ICON, url_path=name, default=is_first)


main()
