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
from hypothesis import given, settings
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
known = ["upper", "lower", "title", "capfirst", "escape", "force_escape", "urlencode", "linebreaks", "linebreaksbr"]
guards = ["default:'y'", "default_if_none:'z'"]
others = ["safe", "length", "date", "add:b", "truncatechars:3", "slice:':1'", "floatformat"]
filters = st.sampled_from([*known, *guards, *others])
expressions = (
    names
    | st.builds("{}|{}".format, names, filters)
    | st.builds("{}|{}|{}".format, names, filters, filters)
    | st.builds("{}.{}".format, names, st.sampled_from(["x", "upper", "0", "encode", "bit_length"]))
    | st.sampled_from(["'<b>'", "7", "'x'|upper", "None"])
)
conditions = st.recursive(
    expressions,
    lambda inner: (
        st.builds("not {}".format, expressions)
        | st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or", "==", "!=", ">", "in", "is"]), expressions)
    ),
    max_leaves=3,
)
bodies = st.recursive(
    st.sampled_from(
        ["Hello ", "<p>", "\n", "ä", "{% verbatim %}{{ a }}{% endverbatim %}", "{% include 'part.html' %}", "{# x #}"]
    )
    | st.builds("{{{{ {} }}}}".format, expressions),
    lambda inner: (
        st.builds("{}{}".format, inner, inner)
        | st.builds(
            "{{% if {} %}}{}{{% elif {} %}}{}{{% else %}}{}{{% endif %}}".format,
            conditions,
            inner,
            conditions,
            inner,
            inner,
        )
        | st.builds("{{% if {} %}}{}{{% endif %}}".format, names, inner)
        | st.builds("{{% for a in {} %}}{}{{% empty %}}{}{{% endfor %}}".format, names, inner, inner)
        | st.builds("{{% with b={} %}}{}{{% endwith %}}".format, expressions, inner)
        | st.builds("{{% spaceless %}}{}{{% endspaceless %}}".format, inner)
        | st.builds("{{% firstof a b %}}{}".format, inner)
    ),
    max_leaves=5,
)
in_layout = "{{% extends 'base.html' %}}{{% if a %}}{{% block m %}}{}{}{{% endblock %}}{{% endif %}}"
templates = bodies | st.builds(in_layout.format, st.sampled_from(["", "{{ block.super }}"]), bodies)
values = (
    st.sampled_from(
        ["Ann", "", "cid:a.png", "<b>'\"", "5", None, True, 0, 12345678, 10**20, 1.5, [], ["x"], {"x": "y"}]
    )
    | st.text(st.sampled_from("ab \n\t\0\u2028\xa0ß<>&\"':c\ud800"), max_size=6)
    | st.just("long " * 500)
)
rows = st.fixed_dictionaries(
    {"email": st.sampled_from(["ann@example.com", "Ann", "Änn <ann@example.com>"])},
    optional={"a": values, "b": values, "c": values},
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


counts = {"rows": 0, "at sight": 0}


@settings(max_examples=int(sys.argv[2]), deadline=None, database=None)
@given(text=templates, html=templates, some=st.lists(rows, min_size=1, max_size=8))
def same(text: str, html: str, some: list[dict[str, Any]]) -> None:
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


same()
sys.stdout.write(f"{counts}\n")
