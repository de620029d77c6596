"""No form of a password gets into a text that people see."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DatabaseError
from agent.masking import HIDDEN, masked
from agent.store.database.engine import open_engine
from agent.store.database.urls import secrets_in, shown

PASSWORD = "s3cr3t-Pa55"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@host/db",
        f"postgresql://host/db?user=me&password={PASSWORD}",
        f"postgresql://host/db?user=me&PASSWORD={PASSWORD}",
        f"postgresql://host/db?pass%77ord={PASSWORD}",
        f"postgresql://me@host/db?sslkey=k&sslpassword={PASSWORD}",
        f"postgresql://host/db?password=first&password={PASSWORD}",
        f"postgresql://me:x@host/db?passfile=/home/{PASSWORD}",
        f"postgresql:///db?host=/tmp&options=-c%20my.secret%3D{PASSWORD}",
    ],
)
def test_a_url_is_shown_without_any_password(url: str) -> None:
    parsed = sa.make_url(url)
    assert PASSWORD not in shown(parsed)
    assert HIDDEN in shown(parsed)
    assert "db" in shown(parsed)


def test_what_is_no_secret_stays() -> None:
    url = sa.make_url("postgresql://host:5433/db?application_name=mill&sslmode=require&user=me")
    assert shown(url) == "postgresql://host:5433/db?application_name=mill&sslmode=require&user=me"
    assert (
        masked("https://example.org/a?b=c&mode=x, me@example.org") == "https://example.org/a?b=c&mode=x, me@example.org"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"cannot read postgresql://me:{PASSWORD}@host/db: gone",
        f"mailto://me:{PASSWORD}@example.org",
        f"https://me:a@{PASSWORD}@host/x",
        f"connection to 'host=h user=u password={PASSWORD}' failed",
        f"password = '{PASSWORD} and a blank'",
        f'PGPASSWORD="{PASSWORD}"',
        f"https://api.example.org/v1?symbol=X&api_key={PASSWORD}&day=1",
        f"https://example.org/?access-token={PASSWORD}",
        f"client_secret={PASSWORD}",
    ],
)
def test_a_text_is_masked(text: str) -> None:
    assert PASSWORD not in masked(text)
    assert masked(masked(text)) == masked(text)


def test_what_a_driver_says_of_a_password_is_masked() -> None:
    secrets = secrets_in(sa.make_url(f"postgresql://u:abc@h/db?password={PASSWORD}"))
    said = masked(f'missing "=" after "{PASSWORD}" in connection info string; abc, but not abcd', secrets)
    assert said == f'missing "=" after "{HIDDEN}" in connection info string; {HIDDEN}, but not abcd'


@pytest.mark.parametrize("url", ["postgresql://host:PW-in-place-of-port/db", "postgresql://u:one@PW-two@host/db", "PW"])
def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        open_engine(url)
    assert "PW" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.fix


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=4, max_size=20))
def test_any_password_in_any_place_is_hidden(password: str) -> None:
    url = sa.URL.create("postgresql", username="u", password=password, host="h", query={"sslpassword": password})
    empty = sa.URL.create("postgresql", username="u", password=HIDDEN, host="h", query={"sslpassword": HIDDEN})
    assert shown(url).replace(HIDDEN, "").count(password) <= shown(empty).replace(HIDDEN, "").count(password)
