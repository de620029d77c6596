"""The morning's answers in words, the same on every page. Pure."""

from __future__ import annotations

from datetime import timedelta

from agent.core.answers import Answer, Line, Ref, Tone, joined, listed
from agent.core.figures import count_text, percents_apart, span_text
from agent.core.morning import Decided, Fresh, Money, Morning, Outcomes, Ready, Since
from pipelines.figures import percent_text

# For who sees a page for the first time.
WHAT_THIS_IS = (
    "Tidemill reads the prices of markets, trains a model on their past, and says what it would trade now, why, and "
    "what such forecasts were worth."
)
_CAUSES = 4  # in full
_LINES = 3  # decisions named one by one


def answers_of(morning: Morning) -> tuple[Answer, ...]:
    """The five questions."""
    return (
        _fresh(morning.fresh),
        _since(morning.since),
        _ready(morning.ready),
        _outcomes(morning),
        _money(morning.money),
    )


def _fresh(one: Fresh) -> Answer:
    if one.is_historical:
        head = "Historical data: their end is the present"
    elif one.age_seconds is None:
        head = "How old the data are is not on record"
    else:
        head = f"Data {span_text(one.age_seconds)} old"
    lines: list[Line] = [] if one.data_to is None else [("Data to ", one.data_to)]
    lines.append(("Released ", one.released_at, ": ", Ref("release", one.release, one.release)))
    lines += [(text,) for text in (one.assessment, one.promise and f"Forward record: {one.promise}") if text]
    return Answer("Is it fresh?", (head,), tuple(lines))


def _since(one: Since) -> Answer:
    question = "What changed since the last release?"
    if one.before is None:
        return Answer(question, ("This is the first release",))
    lines: list[Line] = [(cause,) for cause in one.causes[1:_CAUSES]]
    if len(one.causes) > _CAUSES:
        lines.append((f"and {count_text(len(one.causes) - _CAUSES, 'other cause')}",))
    for word, refs in (("New: ", one.new), ("Gone: ", one.gone)):
        if refs:
            lines.append((word, *listed(refs)))
    lines += moved_lines(one, _LINES)
    lines.append(("Before it: ", Ref("release", one.before, one.before)))
    return Answer(question, (one.causes[0] if one.causes else "Nothing behind it differs",), tuple(lines))


def moved_lines(one: Since, most: int) -> list[Line]:
    """How many decisions moved, and those that moved most, at most `most`."""
    if not one.moved:
        return [("No decision moved",)]
    acted = sum(then.action != now.action for then, now in one.moved)
    head = f"{count_text(len(one.moved), 'decision')} moved, {acted:,} to another action"
    return [(head,), *(_move(*pair) for pair in one.moved[:most])]


def _move(then: Decided, now: Decided) -> Line:
    before, after = percents_apart(then.probability, now.probability)
    action = "" if then.action == now.action else f"{then.action or '–'} → {now.action or '–'}, "
    return (now.ref, f": {action}{before} → {after}")


def _ready(one: Ready) -> Answer:
    question = "What would it trade now?"
    if one.entries:
        lines = [_entry(entry) for entry in one.entries[:_LINES]]
        more = len(one.entries) - _LINES
        if more > 0:
            lines.append((f"and {more:,} more",))
        return Answer(question, (f"{len(one.entries):,} to enter",), tuple(lines), "good")
    if not one.nearest:
        return Answer(question, ("Nothing, and no probability would change that",))
    best, *others = one.nearest
    lines = [] if not best.reason else [(f"Why: {best.reason}",)]
    lines += [(*_near(other),) for other in others[: _LINES - 1]]
    return Answer(question, ("Nothing; best: ", *_near(best)), tuple(lines))


def _entry(one: Decided) -> Line:
    needed = "" if one.threshold is None else ", needs {1}".format(*percents_apart(one.probability, one.threshold))
    return (one.ref, f": {one.action} at {percent_text(one.probability)}{needed}; {one.reason or ''}".rstrip("; "))


def _near(one: Decided) -> Line:
    """ "ETC 41.0 %, needs 41.1 %"; of one that is beyond it and held, so."""
    assert one.threshold is not None
    assert one.distance is not None
    probability, threshold = percents_apart(one.probability, one.threshold)
    is_beyond = one.distance > 0
    is_sale = one.distance != 0 and is_beyond != (one.probability > one.threshold)
    less = " or less" if is_sale else ""
    return (one.ref, f" {probability}, needs {threshold}{less}{': enough, but held' if is_beyond else ''}")


def _outcomes(morning: Morning) -> Answer:
    question, one, waiting = "How did yesterday go?", morning.outcomes, morning.waiting
    since = "" if one is None else " since then"
    waits = f"{count_text(waiting, 'decision')}{since} without outcome yet"
    wait: tuple[Line, ...] = ((waits,),) if waiting else ()
    if one is None:
        return Answer(question, ("No decision has its outcome yet",), wait)
    days = {morning.today: "Today", morning.today - timedelta(days=1): "Yesterday"}
    day = days.get(one.day, f"{one.day}")
    head = f"{day}: {one.right:,} of {one.count:,} right"
    if one.base_rate is None:
        return Answer(question, (head,), ((f"Brier score {one.brier:.4f}",), *wait))
    says = "rises" if one.base_rate > 0.5 else "does not"
    lines = (
        (f"The base rate ({percent_text(one.base_rate)} rise beyond cost, so each {says}): {one.base_right:,} right",),
        (f"Brier score {one.brier:.4f}, of the base rate {one.base_brier:.4f}: {_better(one)}",),
        *wait,
    )
    tone = _tone(one.right - (one.base_right or 0))
    return Answer(question, (f"{head}, by the base rate {one.base_right:,}",), lines, tone)


def _better(one: Outcomes) -> str:
    if one.base_brier is None or one.brier == one.base_brier:
        return "the same"
    return "better" if one.brier < one.base_brier else "worse"


def _money(one: Money) -> Answer:
    question = "Where was money made?"
    sums = one.gains
    if not sums.entered:
        return Answer(question, ("Nothing that was entered has its outcome yet",))
    windows = (
        ("1 d", sums.last_day, sums.entered_last_day),
        ("7 d", sums.last_week, sums.entered_last_week),
        ("all", sums.total, sums.entered),
    )
    head = " · ".join(f"{name} {percent_text(gain, 2, sign=True) if count else '–'}" for name, gain, count in windows)
    lines: list[Line] = [(f"{sums.gained:,} of {sums.entered:,} entries gained. Of equity, before costs",)]
    for word, found in (("Most: ", one.best), ("Least: ", one.worst)):
        if found:
            named: list[Line] = [(ref, f" {percent_text(gain, 2, sign=True)}") for ref, gain in found]
            lines.append((word, *joined(named, ", ")))
    return Answer(question, (head,), tuple(lines), _tone(sums.total), one.curve)


def _tone(value: float) -> Tone:
    return "good" if value > 0 else "bad" if value < 0 else "plain"
