"""What is told of a row at sight is what rendering it says: for any template, and any row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailworker import settings
from mailworker.mail.check import check_message
from mailworker.mail.codec import Codec
from mailworker.mail.letter import BadRow, Letter, RowCheck, read_row, write_row
from mailworker.mail.letter.sight import Sight
from mailworker.mail.render import render
from mailworker.mail.sealing import Sealer

Write = Callable[..., Path]

PLAIN = Sealer()
MAX_SIZE = 20_000
DATE = datetime(2026, 12, 1, tzinfo=UTC)

NAMES = ("email", "a", "b", "c", "range")
names = st.sampled_from(NAMES)
literals = st.sampled_from(["'x'", "'<b>'", "7", "true", "none", "''"])


def _filters(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    plain = st.sampled_from(
        ["upper", "lower", "title", "capitalize", "trim", "e", "string", "urlencode", "safe", "length", "int", "first"]
    )
    guards = st.sampled_from(["default('y')", "d('', true)", "default(b)", "replace('a', 'bb')", "truncate(3)"])
    return st.builds("({})|{}".format, inner, plain | guards) | st.builds("{}|{}".format, names, plain | guards)


tests = st.sampled_from(
    ["defined", "not defined", "undefined", "none", "string", "number", "sameas a", "iterable", "lower"]
)
expressions = st.recursive(
    names | literals,
    lambda inner: (
        _filters(inner)
        | st.builds("({}) ~ ({})".format, inner, inner)
        | st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "or", "==", "!=", "<", "+", "in"]), inner)
        | st.builds("not ({})".format, inner)
        | st.builds("(({}) if ({}) else ({}))".format, inner, inner, inner)
        | st.builds("(({}) if ({}))".format, inner, inner)
        | st.builds("(({}) is {})".format, inner, tests)
        | st.builds("({} is {})".format, names, tests)
        | st.builds("({} is defined and {})".format, names, inner)
        | st.builds("({} is not defined or {})".format, names, inner)
        | st.builds("{}.{}".format, names, st.sampled_from(["x", "upper()"]))
    ),
    max_leaves=4,
)
texts = st.sampled_from(["Hello ", "<p>", "\n", '<img src="', '">', "cid:", "cid:a.png", "ä", "<a title='"])
pieces = st.recursive(
    texts | st.builds("{{{{ {} }}}}".format, expressions),
    lambda inner: (
        st.builds("{}{}".format, inner, inner)
        | st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, expressions, inner, inner)
        | st.builds("{{% if {} is defined %}}{}{{% endif %}}".format, names, inner)
        | st.builds("{{% if {} %}}{}{{% elif {} is defined %}}{}{{% endif %}}".format, expressions, inner, names, inner)
        | st.builds("{{% for a in {} %}}{}{{% endfor %}}".format, names, inner)
        | st.builds("{{% set b = {} %}}{}".format, expressions, inner)
        | st.builds("{{% block m %}}{}{{% endblock %}}".format, inner).filter(lambda made: made.count("block m") < 2)
        | st.builds("{{% include 'part.html' %}}{}".format, inner)
    ),
    max_leaves=5,
)
layouts = (
    st.builds(
        "{{% extends 'base.html' %}}{{% if a is defined %}}{{% block m %}}{}{{% endblock %}}{{% endif %}}".format,
        pieces,
    )
    | pieces
)

odd = st.text(st.sampled_from("ab \n\t\0\u2028\xa0ß\u0130<>&\"':c\ud800"), max_size=6)
values = (
    st.sampled_from(
        ["Ann", "", "cid:a.png", ":a.png", "<img src='cid:b.png'>", None, True, 0, 10**20, 1.5, [], ["x"], {"x": "y"}]
    )
    | odd
    | st.just("long " * 500)
    | st.floats()
)
addresses = st.sampled_from(
    [
        "ann@example.com",
        "Ann <ann@example.com>",
        " ann@example.com",
        "Ann",
        "jörg@bücher.example",
        "Änn <ann@example.com>",
        "a@b\n",
    ]
)
rows = st.fixed_dictionaries({"email": addresses}, optional=dict.fromkeys(NAMES[1:], values) | {"unused": values})


def becomes_a_mail(letter: Letter, row: Mapping[str, Any]) -> bool:
    """Tell whether a worker would send something for a row, by doing what it does."""
    try:
        values = letter.named(read_row(write_row(letter, row, PLAIN), PLAIN)[1])
        message = letter.message(values, mail_id="0" * 32, bulk="", date=DATE)
        if "@" not in check_message(message)[0]:
            return False
        render(message)
        Codec((), MAX_SIZE).encode_parts(message)
    except Exception:  # noqa: BLE001 - whatever is the reason
        return False
    return True


def breaks_a_header(shown: Iterable[str], row: Mapping[str, Any]) -> bool:
    """Tell whether one of these columns holds a line break."""
    return any(_breaks(row.get(name)) for name in shown)


def _breaks(value: Any) -> bool:
    if isinstance(value, str):
        return len(value.splitlines()) > 1 or value.splitlines() not in ([], [value]) or "\0" in value
    return isinstance(value, list | dict) and any(map(_breaks, value.values() if isinstance(value, dict) else value))


@pytest.fixture
def letter_of(write: Write) -> Callable[..., Letter]:
    def made(subject: str, text: str | None, html: str | None, **fields: Any) -> Letter:
        folder = write(
            news__subject__txt=subject,
            part__html="{{ c|default('part') }}",
            base__html="<b>{% block m %}{% endblock %}",
            a__png=b"png",
        )
        for name, content in (("news.txt", text), ("news.html", html)):
            (folder / name).unlink(missing_ok=True)
            if content is not None:
                (folder / name).write_text(content)
        # Another object of settings, for an engine reads each file once.
        with settings.override(MAILWORKER_TEMPLATES=[folder]):
            return Letter.load("news", **fields)

    return made


#: Templates for a header, and the columns that they look at.
HEADERS: dict[str | None, set[str]] = {
    None: set(),
    "Hi": set(),
    "Hi {{ a }}": {"a"},
    "{% if b is defined %}{{ b }}{% endif %}": {"b"},
    "{{ c }} <shop@example.com>": {"c"},
    "{{ b|default('shop@example.com') }}": {"b"},
}


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    subject=st.sampled_from(["Hi {{ a }}", "Hi", "{% if b is defined %}{{ b }}{% endif %}"]),
    text=pieces | st.none(),
    html=layouts,
    sender=st.sampled_from([None, "{{ c }} <shop@example.com>", "{{ b|default('shop@example.com') }}"]),
    some=st.lists(rows, min_size=1, max_size=8),
)
def test_what_passes_is_what_renders(
    letter_of: Callable[..., Letter],
    subject: str,
    text: str | None,
    html: str,
    sender: str | None,
    some: list[dict[str, Any]],
) -> None:
    try:
        letter = letter_of(subject, text, html, from_email=sender, headers={"X-A": "{{ range|default('none') }}"})
    except ValueError:  # no template, or an image that is not there
        return
    check = RowCheck(letter, MAX_SIZE)
    sight = Sight.of(letter, MAX_SIZE)
    for row in some:
        renders = becomes_a_mail(letter, row)
        refuses = breaks_a_header({"email", "range"} | HEADERS[subject] | HEADERS[sender], row)
        if sight.address(row) is not None:
            assert renders, row
        try:
            check.check(row)
            reason = None
        except BadRow as bad:
            reason = bad.reason
        assert (reason is None) == (renders and not refuses), (row, reason)
