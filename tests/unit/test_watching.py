"""Which files are new, changed or gone, by what two looks find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.collect.watching import Look, Seen, compare

_looks = st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("123")), max_size=8)


def looks(*found: dict[str, str]) -> list[Look]:
    seen: Seen | None = None
    said = []
    for parts in found:
        seen, look = compare(seen, parts)
        said.append(look)
    return said


def test_what_is_there_at_first_is_no_news() -> None:
    assert looks({"a": "1"}, {"a": "1"}) == [Look(1), Look(1)]


def test_a_new_file_counts_once_it_stays_as_it_is() -> None:
    found = looks({}, {"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"})
    assert [look.new for look in found] == [(), (), (), ("a",), ()]
    assert not any(look.changed for look in found)


def test_a_changed_file_counts_once_it_stays_as_it_is() -> None:
    found = looks({"a": "1"}, {"a": "2"}, {"a": "3"}, {"a": "3"}, {"a": "3"})
    assert [look.changed for look in found] == [(), (), (), ("a",), ()]


def test_a_file_that_was_half_written_at_first_is_reported_when_it_is_whole() -> None:
    assert looks({"a": "1"}, {"a": "2"}, {"a": "2"})[-1].changed == ("a",)


def test_a_file_that_is_put_back_as_it_was_is_no_news() -> None:
    assert not any(look.is_news for look in looks({"a": "1"}, {}, {"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "1"}))


def test_a_file_that_stays_away_is_gone_once_and_new_when_it_comes_again() -> None:
    found = looks({"a": "1"}, {}, {}, {}, {"a": "1"}, {"a": "1"})
    assert [look.gone for look in found] == [(), (), ("a",), (), (), ()]
    assert found[-1].new == ("a",)


@given(_looks, st.dictionaries(st.sampled_from("abc"), st.sampled_from("123")))
def test_after_three_equal_looks_everything_is_reported_and_nothing_twice(
    before: list[dict[str, str]], last: dict[str, str]
) -> None:
    seen: Seen | None = None
    for parts in (*before, last, last, last):
        seen, _ = compare(seen, parts)
    assert seen == Seen(last, last)
    assert compare(seen, last) == (seen, Look(len(last)))
