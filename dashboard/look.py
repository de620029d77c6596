"""How values look: times in the viewer's zone with UTC on hover, tables as HTML that phones can scroll, words.

Everything that goes into HTML is escaped here, error texts included: they quote what a broken file contains.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from agent.core.answers import Line, Ref
from agent.core.figures import span_text
from dashboard import address
from pipelines.errors import PipelineError


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True)
class Column:
    """A heading of a table and how its cells stand: num to the right, short unbroken, long with room; less: not on a
    phone, where a row is a card."""

    heading: str
    kind: str = ""


def title(text: str) -> None:
    """The page's heading: seen where the tabs are folded away (phones), and always heard by screen readers."""
    st.html(f'<h1 class="tm-title">{html.escape(text)}</h1>')


def zone() -> ZoneInfo:
    """The viewer's time zone as the browser says; UTC where it says none that is known."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def ink() -> str:
    """The colour of text in the viewer's theme, for charts that put words beside their marks."""
    return "#e8ebef" if st.context.theme.type == "dark" else "#1b1f24"


def when(at: datetime | None, *, seconds: bool = False) -> Html:
    """An instant in the viewer's zone, UTC on hover."""
    if at is None:
        return Html('<span class="tm-soft">–</span>')
    local = at.astimezone(zone())
    text = local.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    return Html(f'<time datetime="{at.isoformat()}" title="{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC">{text}</time>')


def when_text(at: datetime | None) -> str:
    """An instant in the viewer's zone where no HTML can stand; the zone is named."""
    return "–" if at is None else f"{at.astimezone(zone()):%Y-%m-%d %H:%M %Z}"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in words; "never" for None."""
    if at is None:
        return "never"
    return f"{span_text((now - at).total_seconds())} ago"


def dot(colour: str, text: str) -> Html:
    """A coloured dot with its word: never the colour alone."""
    return Html(f'<span class="tm-dot" style="background:{colour}"></span>{html.escape(text)}')


def bar(fraction: float) -> Html:
    """How much of something is done."""
    return Html(f'<div class="tm-bar"><i style="width:{100 * min(max(fraction, 0.0), 1.0):.0f}%"></i></div>')


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, label: str = "") -> None:
    """A table; cells that are not Html are escaped. `label` names it for screen readers and tests."""
    head = "".join(f'<th class="{one.kind}">{html.escape(one.heading)}</th>' for one in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{one.kind}" data-label="{html.escape(one.heading) if value != "" else ""}">{_cell(value)}</td>'
            for one, value in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    st.html(
        f'<div class="tm-wide"><table class="tm-table" aria-label="{html.escape(label)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def link(ref: Ref) -> Html:
    """A name that leads to its place."""
    return Html(f'<a href="{html.escape(address.of(ref))}" target="_self">{html.escape(ref.text)}</a>')


def text(parts: Line) -> Html:
    """A line of the agent's own words."""
    return Html("".join(when(part) if isinstance(part, datetime) else _part(part) for part in parts))


def line(*parts: str) -> None:
    """A line of text; parts that are not Html are escaped."""
    st.html(f'<div class="tm-line">{"".join(_cell(part) for part in parts)}</div>')


def fault(error: PipelineError) -> None:
    """An error of ours as a person reads it: what, where, the fix."""
    parts = [f"**{literal(error.what)}**"]
    if error.where:
        parts.append(f"Where: `{error.where}`")
    if error.fix:
        parts.append(f"What to do: {literal(error.fix)}")
    st.error("\n\n".join(parts), icon=":material/error:")


def number(value: float | None, form: str = ",.2f") -> str:
    """A figure, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def short(version: str | None) -> str:
    """A version's first eight characters."""
    return (version or "")[:8] or "–"


def _part(part: str | Ref) -> str:
    return link(part) if isinstance(part, Ref) else _with_units(html.escape(part))


def _with_units(escaped: str) -> str:
    """No figure is parted from its unit at the end of a line."""
    return re.sub(r"\S+ %", r'<span class="tm-unit">\g<0></span>', escaped)


def _cell(value: object) -> str:
    if value is None:
        return '<span class="tm-soft">–</span>'
    return value if isinstance(value, Html) else html.escape(str(value)).replace("\n", "<br>")


def literal(text: str) -> str:
    """Text as Markdown that shows it literally."""
    for sign in "\\`*_[]$#<>~:":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "  \n")
