"""Holds what is told of a row at sight to what rendering it by Django's engine says; run in a process of its own.

python -m tests.contrib.django.letter_program FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

folder = Path(sys.argv[1])
django_settings.configure(
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [folder]}],
    MAILWORKER={"TASK_ALWAYS_EAGER": True},
    USE_THOUSAND_SEPARATOR=True,
    DEFAULT_FROM_EMAIL="shop@example.com",
)
django.setup()

from mailworker.mail.check import check_message  # noqa: E402
from mailworker.mail.codec import Codec  # noqa: E402
from mailworker.mail.letter import BadRow, Letter, RowCheck, read_row, write_row  # noqa: E402
from mailworker.mail.letter.sight import Sight  # noqa: E402
from mailworker.mail.render import render  # noqa: E402
from mailworker.mail.sealing import Sealer  # noqa: E402

PLAIN = Sealer()
MAX_SIZE = 20_000
DATE = datetime(2026, 12, 1, tzinfo=UTC)

names = st.sampled_from(["email", "a", "b", "c"])

#: What is understood, and what is not.
KNOWN = ["upper", "lower", "title", "capfirst", "escape", "force_escape", "urlencode", "linebreaks", "linebreaksbr"]
GUARDS = ["default:'y'", "default_if_none:'z'"]
OTHERS = ["safe", "length", "date", "add:b", "truncatechars:3", "slice:':1'", "floatformat"]


def templates(is_plain: bool) -> st.SearchStrategy[str]:
    filters = st.sampled_from([*KNOWN, *GUARDS, *([] if is_plain else OTHERS)])
    expressions = (
        names
        | st.builds("{}|{}".format, names, filters)
        | st.builds("{}|{}|{}".format, names, filters, filters)
        | st.sampled_from(["'<b>'", "7", "'x'|upper", "None"])
    )
    if not is_plain:
        expressions |= st.builds("{}.{}".format, names, st.sampled_from(["x", "upper", "0", "encode", "bit_length"]))
    operators = st.sampled_from(["and", "or", "==", "!=", ">", "in", "is"])
    conditions = st.recursive(
        expressions,
        lambda inner: (
            st.builds("not {}".format, expressions) | st.builds("{} {} {}".format, inner, operators, expressions)
        ),
        max_leaves=3,
    )
    texts = [
        "Hello ",
        "<p>",
        "\n",
        "ä",
        "{% verbatim %}{{ a }}{% endverbatim %}",
        "{% include 'part.html' %}",
        "{# x #}",
    ]

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        branches = "{{% if {} %}}{}{{% elif {} %}}{}{{% else %}}{}{{% endif %}}"
        made = (
            st.builds("{}{}".format, inner, inner)
            | st.builds(branches.format, conditions, inner, conditions, inner, inner)
            | st.builds("{{% if {} %}}{}{{% endif %}}".format, names, inner)
            | st.builds("{{% spaceless %}}{}{{% endspaceless %}}".format, inner)
        )
        if is_plain:
            return made
        return (
            made
            | st.builds("{{% for a in {} %}}{}{{% empty %}}{}{{% endfor %}}".format, names, inner, inner)
            | st.builds("{{% with b={} %}}{}{{% endwith %}}".format, expressions, inner)
            | st.builds("{{% firstof a b %}}{}".format, inner)
        )

    bodies = st.recursive(st.sampled_from(texts) | st.builds("{{{{ {} }}}}".format, expressions), larger, max_leaves=5)
    in_layout = "{{% extends 'base.html' %}}{{% if a %}}{{% block m %}}{}{}{{% endblock %}}{{% endif %}}"
    return bodies | st.builds(in_layout.format, st.sampled_from(["", "{{ block.super }}"]), bodies)


values = (
    st.sampled_from(
        ["Ann", "", "cid:a.png", "<b>'\"", "5", None, True, 0, 12345678, 10**20, 1.5, [], ["x"], {"x": "y"}]
    )
    | st.text(st.sampled_from("ab \n\t\0\u2028\xa0ß<>&\"':c\ud800"), max_size=6)
    | st.just("long " * 5)
)
emails = st.sampled_from(["ann@example.com", "Ann", "Änn <ann@example.com>"])
plain = st.text(st.sampled_from("ab ß<>&\"':.5"), max_size=6)
rows = st.fixed_dictionaries({"email": emails}, optional=dict.fromkeys("abc", values)) | st.fixed_dictionaries(
    {"email": st.just("ann@example.com"), **dict.fromkeys("abc", plain)}
)


def becomes_a_mail(letter: Letter, row: Mapping[str, Any]) -> bool:
    try:
        found = letter.named(read_row(write_row(letter, row, PLAIN), PLAIN)[1])
        message = letter.message(found, mail_id="0" * 32, bulk="", date=DATE)
        if "@" not in check_message(message)[0]:
            return False
        render(message)
        Codec((), MAX_SIZE).encode_parts(message)
    except Exception:  # noqa: BLE001 - whatever is the reason
        return False
    return True


def hold(text: str, html: str, some: list[dict[str, Any]], counts: dict[str, int]) -> None:
    """Hold what is told of rows to what a worker makes of them."""
    (folder / "news.subject.txt").write_text("Hi")
    (folder / "part.html").write_text("{{ c|default:'part' }}")
    (folder / "base.html").write_text("<b>{% block m %}{{ b }}{% endblock %}</b>")
    (folder / "news.txt").write_text(text)
    (folder / "news.html").write_text(html)
    django.template.engines["django"].engine.template_loaders[0].reset()
    letter = Letter.load("news")
    check, sight = RowCheck(letter, MAX_SIZE), Sight.of(letter, MAX_SIZE)
    for row in some:
        is_fine = becomes_a_mail(letter, row)
        counts["rows"] += 1
        if sight.address(row) is not None:
            counts["at sight"] += 1
            assert is_fine, row
        try:
            check.check(row)
            reason = None
        except BadRow as bad:
            reason = bad.reason
        assert (reason is None) == is_fine, (row, reason)


#: Templates whose rows are told right only if one thing each is understood.
CASES = [
    "{{ a }}{% if b %}{{ b }}{% endif %}{{ c|default:'x' }}",
    "{% if not a %}{{ b }}{% else %}{{ a }}{% endif %}",
    "{% if a and b %}{{ a }}{{ b }}{% endif %}{% if a or b %}{{ a }}{% else %}{{ b }}{% endif %}",
    "{% if a %}{{ b }}{% elif b %}{{ b }}{% else %}{{ c }}{% endif %}",
    "{% extends 'base.html' %}{% if a %}{% block m %}{{ a }}{{ block.super }}{% endblock %}{% endif %}",
    "{% if a.bit_length %}x{% endif %}{% if a.to_bytes %}x{% endif %}",
    "{{ a.to_bytes }}",
    "{{ a|date:'Y' }}",
    "{{ a|safe }}<img src='{{ b }}'>",
    "{% if a|add:c %}x{% endif %}",
    "{% include 'part.html' with b=a only %}",
    "{% autoescape off %}{{ a }}{% endautoescape %}",
]
GOOD = {"email": "ann@example.com", "a": "x", "b": "y", "c": "z"}
CHANGES = [
    {name: value} for name in "abc" for value in (None, "", 10**12, "cid:a.png", "<img src='cid:a.png'>", "\ud800")
]


def check_cases() -> None:
    for case in CASES:
        hold("x", case, [GOOD, *({**GOOD, **change} for change in CHANGES)], {"rows": 0, "at sight": 0})


def same(is_plain: bool) -> None:
    counts = {"rows": 0, "at sight": 0}

    @settings(max_examples=int(sys.argv[2]), deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(text=templates(is_plain), html=templates(is_plain), some=st.lists(rows, min_size=1, max_size=8))
    def found(text: str, html: str, some: list[dict[str, Any]]) -> None:
        hold(text, html, some, counts)

    found()
    sys.stdout.write(f"plain: {is_plain}, {counts}\n")


check_cases()
same(is_plain=True)
same(is_plain=False)
