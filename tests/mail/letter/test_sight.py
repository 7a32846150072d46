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

#: What is understood, and what is not.
PLAIN_FILTERS = [
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "e",
    "string",
    "urlencode",
    "default('y')",
    "d('', true)",
]
ODD_FILTERS = ["safe", "length", "int", "first", "default(b)", "replace('a', 'bb')", "truncate(3)"]
PLAIN_TESTS = ["defined", "not defined", "undefined", "none", "string", "number"]
ODD_TESTS = ["sameas a", "iterable", "lower", "odd"]


def expressions(is_plain: bool) -> st.SearchStrategy[str]:
    filters = st.sampled_from(PLAIN_FILTERS if is_plain else PLAIN_FILTERS + ODD_FILTERS)
    tests = st.sampled_from(PLAIN_TESTS if is_plain else PLAIN_TESTS + ODD_TESTS)
    operators = st.sampled_from(["and", "or", "==", "!="] if is_plain else ["and", "or", "==", "<", "+", "in"])

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        made = (
            st.builds("({})|{}".format, inner, filters)
            | st.builds("{}|{}".format, names, filters)
            | st.builds("({}) ~ ({})".format, inner, inner)
            | st.builds("({}) {} ({})".format, inner, operators, inner)
            | st.builds("not ({})".format, inner)
            | st.builds("(({}) if ({}) else ({}))".format, inner, inner, inner)
            | st.builds("(({}) is {})".format, inner, tests)
            | st.builds("({} is {})".format, names, tests)
            | st.builds("({} is defined and {})".format, names, inner)
            | st.builds("({} is not defined or {})".format, names, inner)
        )
        if is_plain:
            return made
        return (
            made
            | st.builds("(({}) if ({}))".format, inner, inner)
            | st.builds("{}.{}".format, names, st.sampled_from(["x", "upper()"]))
        )

    return st.recursive(names | literals, larger, max_leaves=4)


def templates(is_plain: bool) -> st.SearchStrategy[str]:
    some = expressions(is_plain)
    texts = ["Hello ", "<p>", "\n", "ä", *([] if is_plain else ['<img src="', '">', "cid:", "cid:a.png", "<a title='"])]

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        made = (
            st.builds("{}{}".format, inner, inner)
            | st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, some, inner, inner)
            | st.builds("{{% if {} is defined %}}{}{{% endif %}}".format, names, inner)
            | st.builds("{{% if {} %}}{}{{% elif {} is defined %}}{}{{% endif %}}".format, some, inner, names, inner)
            | st.builds("{{% include 'part.html' %}}{}".format, inner)
        )
        if is_plain:
            return made
        return (
            made
            | st.builds("{{% for a in {} %}}{}{{% endfor %}}".format, names, inner)
            | st.builds("{{% set b = {} %}}{}".format, some, inner)
        )

    body = st.recursive(st.sampled_from(texts) | st.builds("{{{{ {} }}}}".format, some), larger, max_leaves=5)
    in_layout = "{{% extends 'base.html' %}}{{% if a is defined %}}{{% block m %}}{}{}{{% endblock %}}{{% endif %}}"
    return body | st.builds(in_layout.format, st.sampled_from(["", "{{ super() }}"]), body)


odd = st.text(st.sampled_from("ab \n\t\0\u2028\xa0ß\u0130<>&\"':c\ud800"), max_size=6)
values = (
    st.sampled_from(
        ["Ann", "", "cid:a.png", ":a.png", "<img src='cid:b.png'>", None, True, 0, 10**20, 1.5, [], ["x"], {"x": "y"}]
    )
    | odd
    | st.just("long " * 5)
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
plain = st.text(st.sampled_from("ab \xa0ß<>&\"':c"), max_size=6)
rows = st.fixed_dictionaries(
    {"email": addresses}, optional=dict.fromkeys(NAMES[1:], values) | {"unused": values}
) | st.fixed_dictionaries(
    {"email": st.just("ann@example.com"), **dict.fromkeys("abc", plain)}, optional={"range": plain}
)


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


SUBJECTS = ["Hi {{ a }}", "Hi", "{% if b is defined %}{{ b }}{% endif %}"]
SENDERS = [None, "{{ c }} <shop@example.com>", "{{ b|default('shop@example.com') }}"]


def same(check: RowCheck, letter: Letter, row: Mapping[str, Any], shown: Iterable[str]) -> None:
    """Hold what is told of a row to what a worker does, and to what its header columns hold."""
    is_fine = becomes_a_mail(letter, row) and not breaks_a_header({"email", *shown}, row)
    if Sight.of(letter, MAX_SIZE).address(dict(row)) is not None:
        assert is_fine, row
    try:
        check.check(row)
        reason = None
    except BadRow as bad:
        reason = bad.reason
    assert (reason is None) == is_fine, (row, reason)


def _what_passes_is_what_renders(letter_of: Callable[..., Letter], parts: Any, some: list[dict[str, Any]]) -> None:
    subject, sender, text, html = parts
    try:
        letter = letter_of(subject, text, html, from_email=sender, headers={"X-A": "{{ range|default('none') }}"})
    except ValueError:  # no template, or an image that is not there
        return
    check = RowCheck(letter, MAX_SIZE)
    for row in some:
        same(check, letter, row, {"range"} | HEADERS[subject] | HEADERS[sender])


def parts(is_plain: bool) -> st.SearchStrategy[Any]:
    body = templates(is_plain)
    bodies = st.tuples(body, body) | st.tuples(body, st.none()) | st.tuples(st.none(), body)
    return st.builds(lambda *made: (*made[:2], *made[2]), st.sampled_from(SUBJECTS), st.sampled_from(SENDERS), bodies)


many = hypothesis_settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


@many
@given(parts=parts(is_plain=True), some=st.lists(rows, min_size=1, max_size=8))
def test_what_passes_is_what_renders(letter_of: Callable[..., Letter], parts: Any, some: list[dict[str, Any]]) -> None:
    _what_passes_is_what_renders(letter_of, parts, some)


@many
@given(parts=parts(is_plain=False), some=st.lists(rows, min_size=1, max_size=8))
def test_what_is_not_understood_is_rendered(
    letter_of: Callable[..., Letter], parts: Any, some: list[dict[str, Any]]
) -> None:
    _what_passes_is_what_renders(letter_of, parts, some)


GOOD = {"email": "ann@example.com", "a": "x", "b": "y", "c": "z"}


@pytest.mark.parametrize(
    ("html", "changes"),
    [
        (
            "<p>{{ a }}{{ b|upper }}{% if c is defined %}{{ c }}{% endif %}",
            [{"c": None}, {"a": None}, {"a": ""}, {"b": 7.5}],
        ),
        ("{{ a|default('x') }}", [{"a": None}, {"a": "\ud800"}, {"a": float("nan")}, {"a": {1}}, {"a": [1]}]),
        ("{% if a %}{{ b }}{% endif %}", [{"b": None}, {"a": "", "b": None}, {"a": None}]),
        ("{{ b if a else c }}{{ a and b }}", [{"b": None}, {"c": None}, {"a": "", "b": None}, {"a": "", "c": None}]),
        ("{{ a if b }}", [{"b": ""}]),
        ("{{ a < 'x' }}", [{"a": 7}]),
        ("{{ a|length }}", [{"a": 7}]),
        ("{{ a|first }}", [{"a": ""}]),
        ("{{ a.x }}", [{"a": {"x": 1}}]),
        ("{{ a|safe }}", [{"a": "<img src='cid:a.png'>"}]),
        ("<img src='{{ a }}'>", [{"a": "cid:a.png"}, {"a": "https://example.com/a.png"}]),
        ("<img src='c{{ a }}'>", [{"a": "id:a.png"}]),
        ("<img src='{% if a is defined %}{% endif %}cid:a.png'>", []),
        ("<img src='cid:a.png'>{{ a }}", [{"a": "cid:b.png"}]),
        (
            "{% extends 'base.html' %}{% if a is defined %}{% block m %}{{ a }}{{ super() }}{% endblock %}{% endif %}",
            [{"a": None}],
        ),
        ("{{ range }}", [{"range": "x"}, {"range": 7}]),
        ("{% for c in a %}{{ c }}{% endfor %}", [{"a": 7}, {"a": ["x"]}]),
        ("{% set c = a %}{{ c.x }}", []),
        ("{% include 'part.html' %}{% include 'no.html' ignore missing %}", [{"c": None}, {"c": "\ud800"}]),
    ],
)
def test_each_kind_of_expression_is_told_right(
    letter_of: Callable[..., Letter], html: str, changes: list[dict[str, Any]]
) -> None:
    for text in ("x", None):
        letter = letter_of("x", text, html)
        check = RowCheck(letter, MAX_SIZE)
        for change in ({}, *changes, {"email": "ann"}):
            same(check, letter, GOOD, ())
            same(check, letter, GOOD | change, ())


def test_a_sender_that_a_row_makes_is_looked_at(letter_of: Callable[..., Letter]) -> None:
    letter = letter_of(
        "x", "x", None, from_email="{{ a }} <{{ b }}>", reply_to=["{{ c }}"], headers={"Sender": "{{ b }}"}
    )
    check = RowCheck(letter, MAX_SIZE)
    good = GOOD | {"b": "b@example.com", "c": "c@example.com"}
    for change in (
        {},
        {"a": "B, C"},
        {"a": "B (C)"},
        {"b": "x"},
        {"b": "b@x y"},
        {"a": "\u00c4nn"},
        {"c": "c"},
        {"c": "\u00e4@b\u00fc.example"},
    ):
        same(check, letter, good, "abc")
        same(check, letter, good | change, "abc")


def test_plain_templates_are_told_at_sight(letter_of: Callable[..., Letter]) -> None:
    letter = letter_of(
        "Hi {{ a }}",
        "{% if b is defined and b %}{{ b|default('x') }}{% endif %}{% include 'part.html' %}",
        "{% extends 'base.html' %}{% block m %}<img src='cid:a.png'>{{ a|upper }}{% endblock %}",
        headers={"X-A": "{{ c }}"},
    )
    sight = Sight.of(letter, MAX_SIZE)
    for change in ({}, {"b": None}, {"b": "a\nb"}, {"a": "B\xa0C"}, {"a": 7}):
        assert sight.address(GOOD | change) == ("ann", "example.com"), change
