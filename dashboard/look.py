"""How values look: times in the viewer's zone with UTC on hover, tables as HTML that phones can scroll, words.

Everything that goes into HTML is escaped here, error texts included: they quote what a broken file contains.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from agent.core.answers import Line, Ref
from agent.core.figures import span_text
from dashboard import address
from dashboard.palette import BLUE
from pipelines.errors import PipelineError

_WORDS = {"light": ("#0b66b0", "#0b7350", "#b3401c"), "dark": ("#5fb0f0", "#3fc796", "#f08a66")}
# Streamlit draws a widget when its script has come, where a bar of another height stood until then. What follows one is
# seen from then on, so that nothing moves away under a reader's eye or finger. Charts and tables of data keep their
# height free (the two classes) and hold up nothing.
_FREE = ".stPrintGraphic,.stPrintFixedWidth"
_COMING = f':not({_FREE})>[data-testid="stSkeleton"]'
_STYLE = f"""
<style>
[data-testid="stMain"] :not({_FREE}):has({_COMING},>[data-testid="stSkeleton"])~*{{visibility:hidden}}
[data-testid="stMainBlockContainer"]{{padding-bottom:3rem;max-width:1500px}}
@media (min-width:641px){{[data-testid="stMainBlockContainer"]{{padding-top:4.2rem}}}}
@media (max-width:640px){{[data-testid="stMainBlockContainer"]{{padding-left:.8rem;padding-right:.8rem}}}}
[data-testid="stCaptionContainer"],[data-testid="stCaptionContainer"] p{{color:inherit;opacity:.85}}
.tm-title{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
@media (max-width:767px){{.tm-title{{position:static;width:auto;height:auto;clip-path:none;font-size:1.4rem}}}}
[data-testid^="stBaseButton-primary"]{{background:#0b66b0;border-color:#0b66b0;color:#fff}}
.st-key-kill button{{background:#b3261e;border-color:#b3261e;color:#fff}}
.tm-wide{{overflow-x:auto}}
.tm-table{{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}}
.tm-table th,.tm-table td{{padding:.32rem .7rem .32rem 0;text-align:left;vertical-align:top;
 border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}}
.tm-table th{{font-weight:600;opacity:.7;white-space:nowrap}}
.tm-table td.num,.tm-table th.num{{text-align:right}}
.tm-table .num+:not(.num){{padding-left:.9rem}}
.tm-table td.short{{white-space:nowrap}}
.tm-table td.long{{min-width:15rem}}
.tm-dot{{display:inline-block;width:.62em;height:.62em;border-radius:50%;margin-right:.42em}}
.tm-soft{{opacity:.68}}
.tm-table time,.tm-line time,.tm-card time{{cursor:help;
 border-bottom:1px dotted color-mix(in srgb,currentColor 40%,transparent)}}
.tm-table a,.tm-line a,.tm-card a{{color:var(--tm-link)}}
.tm-table a{{text-decoration:none}}
.tm-table a:hover,.tm-line a:hover,.tm-card a:hover{{text-decoration:underline}}
.tm-cards{{display:flex;flex-wrap:wrap;gap:.8rem}}
.tm-card{{flex:1 1 20rem;border:1px solid color-mix(in srgb,currentColor 18%,transparent);border-radius:.6rem;
 padding:.75rem .95rem;
 overflow-wrap:anywhere;line-height:1.45}}
.tm-card h3{{font-size:.82rem;font-weight:600;opacity:.7;margin:0;padding:0}}
.tm-card .tm-head{{font-size:1.12rem;font-weight:600;margin:.15rem 0 .3rem}}
.tm-card p{{margin:.12rem 0;font-size:.9rem}}
.tm-card img{{display:block;width:100%;height:2.4rem;margin:.3rem 0}}
.tm-grid{{overflow-x:auto;direction:rtl}}
.tm-grid table{{border-collapse:collapse;direction:ltr;margin:0 auto 0 0}}
.tm-grid th,.tm-grid td{{padding:0 2px;text-align:center;vertical-align:bottom;border:0}}
.tm-grid th:first-child{{text-align:left;padding-right:.8rem;font-weight:400;font-size:.85rem;white-space:nowrap}}
.tm-grid a{{display:block;width:1.25rem;text-decoration:none;line-height:1.6}}
.tm-grid th:first-child a{{width:auto;color:var(--tm-link)}}
.tm-grid th i{{display:block;width:.85rem;margin:0 auto}}
.tm-grid td a:hover{{background:color-mix(in srgb,currentColor 20%,transparent)}}
.tm-legend{{font-size:.8rem;display:flex;flex-wrap:wrap;gap:.1rem .9rem;margin:.35rem 0 .6rem}}
.tm-good{{color:var(--tm-good)}} .tm-bad{{color:var(--tm-bad)}} .tm-plain{{color:inherit}}
.tm-line{{font-size:1.02rem;line-height:1.5}}
.tm-bar{{margin-top:.42rem;height:.5rem;min-width:7rem;
 border-radius:.25rem;background:color-mix(in srgb,currentColor 14%,transparent)}}
.tm-bar i{{display:block;height:100%;border-radius:.25rem;background:{BLUE}}}
.tm-pnl{{position:relative;height:.6rem;min-width:8rem;margin-top:.4rem;
 border-radius:.2rem;background:color-mix(in srgb,currentColor 8%,transparent)}}
.tm-pnl i{{position:absolute;top:0;height:100%;border-radius:.2rem}}
@media (max-width:640px){{
.tm-table,.tm-table tbody{{display:block}}
.tm-table thead{{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}}
.tm-table tr{{display:flex;flex-wrap:wrap;gap:0 .9rem;padding:.4rem 0;
 border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}}
.tm-table td,.tm-table td.num,.tm-table td.long,.tm-table .num+:not(.num){{
 border:0;padding:0;text-align:left;min-width:0;overflow-wrap:anywhere}}
.tm-table td:first-child{{flex:1 0 100%;font-weight:600}}
.tm-table td.num:first-child::before{{content:attr(data-label) " "}}
.tm-table td:not(:first-child)::before{{content:attr(data-label) " ";opacity:.68;font-size:.8rem}}
.tm-table td.less{{display:none}}
[data-testid="stExpandSidebarButton"]{{width:auto}}
[data-testid="stExpandSidebarButton"]::after{{content:"Pages";margin-left:.3rem}}
}}
</style>
"""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True)
class Column:
    """A heading of a table and how its cells stand: num to the right, short unbroken, long with room; less: not on a
    phone, where a row is a card."""

    heading: str
    kind: str = ""


def style() -> None:
    """Put the page's style sheet in place. Words in colour have the contrast that reading needs, in either theme."""
    link, good, bad = _WORDS["dark" if st.context.theme.type == "dark" else "light"]
    st.html(f"{_STYLE}<style>:root{{--tm-link:{link};--tm-good:{good};--tm-bad:{bad}}}</style>")


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
            f'<td class="{one.kind}" data-label="{html.escape(one.heading)}">{_cell(value)}</td>'
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
    return link(part) if isinstance(part, Ref) else html.escape(part)


def _cell(value: object) -> str:
    if value is None:
        return '<span class="tm-soft">–</span>'
    return value if isinstance(value, Html) else html.escape(str(value)).replace("\n", "<br>")


def literal(text: str) -> str:
    """Text as Markdown that shows it literally."""
    for sign in "\\`*_[]$#<>~:":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "  \n")
