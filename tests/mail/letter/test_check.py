"""Which rows become mails, told before any of them is queued."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from mailworker import ConfigurationError, settings
from mailworker.mail.letter import BadRow, Checked, Letter, RowCheck

Write = Callable[..., Path]

MB = 2**20


@pytest.fixture
def check(write: Write) -> RowCheck:
    write(
        news__subject__txt="News for {{ name }}",
        news__txt="Hello {{ name }}, {{ text }}{% if nick is defined %}{{ nick }}{% endif %}",
        news__html="<p>{{ name|upper }} {{ vip|default('') }} {{ text }}",
    )
    check = RowCheck(Letter.load("news"), 25 * MB)
    # The first row is rendered whatever is told of it at sight.
    check.check(ROW)
    return check


ROW = {"email": "ann@example.com", "name": "Ann", "text": "Hi", "unused": object()}


def test_a_row_that_becomes_a_mail_says_whom_it_goes_to(check: RowCheck) -> None:
    assert check.check(ROW) == Checked("ann@example.com", "ann@example.com", "example.com")
    named = ROW | {"email": " Ann Lee <Ann@Example.COM> "}
    assert check.check(named) == Checked("Ann@Example.COM", "ann@example.com", "example.com")
    idna = ROW | {"email": "Änn <jörg@bücher.example>"}
    assert check.check(idna) == Checked(
        "jörg@xn--bcher-kva.example", "jörg@xn--bcher-kva.example", "xn--bcher-kva.example"
    )


def test_who_differs_in_more_than_the_case_of_a_letter_is_another_person(check: RowCheck) -> None:
    one, other = (check.check(ROW | {"email": f"{name}@example.com"}).recipient for name in ("straße", "strasse"))
    assert one != other


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"email": None}, "email: "),
        ({"email": "ann at example"}, "email: it is no address"),
        ({"email": "postmaster"}, "email: it is no address"),
        ({"email": "a@example.com, b@example.com"}, "email: it is no address"),
        ({"email": 7}, "email: the recipient holds int"),
        ({"email": "ann@example.com\r\nBcc: eve@example.com"}, "email: a line break"),
        ({"name": None}, "name: the row has no value"),
        ({"name": "Ann\nBcc: eve@example.com"}, "name: a line break"),
        ({"name": "Ann\u2028B"}, "name: a line break"),
        ({"name": "Ann\0"}, "name: a line break"),
        ({"name": ["Ann", "B\n"]}, "name: a line break"),
        ({"text": "\ud800"}, "text: half a character"),
        ({"text": {1, 2}}, "text: it holds a value of type set"),
        ({"text": float("nan")}, "text: it is no number"),
    ],
)
def test_a_bad_row_names_the_column(check: RowCheck, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        check.check(ROW | change)
    assert caught.value.reason.startswith(reason)
    assert "eve" not in str(caught.value)


def test_line_breaks_in_a_body_and_missing_columns_that_nothing_needs_are_fine(check: RowCheck) -> None:
    check.check(ROW | {"text": "a\r\nb\x00c", "nick": None})
    check.check(ROW | {"nick": "a\nb", "vip": 12.5})
    check.check(ROW | {"name": "Ann\xa0B", "text": ["a"]})


def test_a_message_that_is_too_large_is_a_bad_row(write: Write) -> None:
    write(news__subject__txt="x", news__txt="Hello {{ name }}", news__html="<p>{{ name }}")
    check = RowCheck(Letter.load("news"), 10_000)
    check.check(ROW)
    check.check(ROW | {"name": "x" * 4000})
    with pytest.raises(BadRow, match="the message is over 10000 bytes"):
        check.check(ROW | {"name": "x" * 5000})


def test_a_reason_shows_no_value(write: Write) -> None:
    write(news__subject__txt="x", news__txt="{{ prices[plan] }}{{ plan.secret }}")
    check = RowCheck(Letter.load("news"), MB)
    row = {"email": "ann@example.com", "prices": {"gold": 1}, "plan": "platinum plan"}
    with pytest.raises(BadRow) as caught:
        check.check(row)
    assert (
        caught.value.reason
        == "news.txt, line 1: 'dict object' has no attribute '…'; the context has email, plan, prices"
    )


def broken(environment: Any) -> None:
    def fail(value: Any) -> str:
        raise LookupError(value)

    environment.filters["fail"] = fail


def test_whatever_a_filter_raises_is_a_bad_row(write: Write) -> None:
    write(news__subject__txt="x", news__txt="{{ name|fail }}")
    with settings.override(MAILWORKER_TEMPLATE_SETUP=broken):
        check = RowCheck(Letter.load("news"), MB)
        with pytest.raises(BadRow) as caught:
            check.check(ROW)
    assert caught.value.reason == "'news' cannot be rendered with the row (LookupError)"


def test_a_row_is_a_mapping_of_any_kind(check: RowCheck) -> None:
    check.check(defaultdict(str, ROW))
    check.check(MappingProxyType(ROW))
    for wrong in (["ann@example.com"], None, defaultdict(str, email="ann@example.com")):
        with pytest.raises(BadRow):
            check.check(wrong)  # type: ignore[arg-type]


def test_a_key_that_is_missing_is_no_rows_fault(write: Write) -> None:
    write(news__subject__txt="x", news__txt="x")
    with settings.override(
        MAILWORKER_UNSUBSCRIBE_URL="https://a.example/{token}", MAILWORKER_UNSUBSCRIBE_KEYS=["k" * 16]
    ):
        letter = Letter.load("news")
    with pytest.raises(ConfigurationError, match="MAILWORKER_UNSUBSCRIBE_KEYS is empty"):
        RowCheck(letter, MB).check(ROW)
