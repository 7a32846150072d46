"""Django 5.2 as the oracle: what it renders, we render; where it raises, we raise."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given
from hypothesis import settings as hypothesis_settings

from mailworker import mail
from mailworker.mail import direct
from mailworker.mail.render import render
from tests.mail.oracle_messages import build, common, nothing, odd, usual

slow = hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def comparable(rendered: bytes, given: dict[str, Any]) -> bytes:
    """Number the boundaries, and take out the Date and Message-ID that nobody gave."""
    order: dict[bytes, bytes] = {}
    rendered = re.sub(rb"={15}\d{19}==", lambda m: order.setdefault(m[0], b"boundary-%d" % len(order)), rendered)
    head, gap, rest = rendered.partition(b"\r\n\r\n" if b"\r\n" in rendered else b"\n\n")
    if "Date" not in given:
        head = re.sub(rb"(?m)^Date: [^\r\n]*", b"Date: now", head, count=1)
    if "Message-ID" not in given:
        head = re.sub(rb"(?m)^Message-ID:\s+<[^>]*>", b"Message-ID: <new>", head, count=1)
    return head + gap + rest


def outcome(module: Any, recipe: dict[str, Any]) -> bytes | Exception:
    try:
        return comparable(build(module, recipe).message().as_bytes(), recipe["headers"])
    except Exception as error:  # noqa: BLE001 - the exception is what is compared
        return error


@slow
@given(recipe=usual)
@example(recipe=nothing)
@example(recipe={**nothing, "subject": "é" * 300, "to": ["Jörg Müller <jörg@bücher.example>"], "body": "x" * 2000})
@example(recipe={**nothing, "attachments": [("rfc822", "a.eml", "email", None), ("mime", None, "cid", None)]})
def test_our_bytes_are_those_that_django_renders(django_mail, recipe):
    theirs, ours = outcome(django_mail, recipe), outcome(mail, recipe)
    event("Django raises" if isinstance(theirs, Exception) else "Django renders")
    compare(theirs, ours)


@slow
@given(recipe=odd)
def test_where_django_raises_we_raise_and_where_it_does_not_the_bytes_are_the_same(django_mail, recipe):
    compare(outcome(django_mail, recipe), outcome(mail, recipe))


def compare(theirs: bytes | Exception, ours: bytes | Exception) -> None:
    if not isinstance(theirs, Exception):
        assert ours == theirs
        return
    assert isinstance(ours, Exception), f"Django raises {theirs!r}"
    builtin = next(kind for kind in type(theirs).__mro__ if kind.__module__ == "builtins")
    # A domain that IDNA refuses is one more invalid address to us, and a UnicodeError, also a ValueError, to Django.
    kind = ValueError if isinstance(ours, mail.InvalidAddress) and issubclass(builtin, UnicodeError) else builtin
    assert isinstance(ours, kind), f"Django raises {theirs!r}, we raise {ours!r}"


@slow
@given(recipe=common | usual)
@example(recipe=nothing)
@example(recipe={**nothing, "to": ["a@b.example"] * 9, "alternatives": [("<p>é\r</p>", "text/html")]})
@example(recipe={**nothing, "body": "\n.\n", "attachments": [("file", "q r.pdf", b"\r\n" * 99, "application/pdf")]})
def test_the_wire_gets_the_bytes_that_djangos_smtp_backend_sends(django_mail, recipe):
    try:
        theirs = build(django_mail, recipe).message().as_bytes(linesep="\r\n")
        ours = render(build(mail, recipe))
    except Exception:  # noqa: BLE001 - the test above compares what is raised
        return
    event("directly" if direct.rendered(build(mail, recipe)) is not None else "by the standard library")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", ours)
    assert comparable(ours, recipe["headers"]) == comparable(theirs, recipe["headers"])


@pytest.mark.parametrize("linesep", ["\n", "\r\n"])
@pytest.mark.parametrize("unixfrom", [True, False])
def test_mime_parts_render_as_djangos_do(django_mail, linesep, unixfrom):
    def parts(module: Any) -> list[bytes | str]:
        text = module.SafeMIMEText("From é\n" + "x" * 1000, "plain", "utf-8")
        text["Subject"] = "é" * 80
        multi = module.SafeMIMEMultipart(encoding="iso-8859-1", boundary="b")
        multi["To"] = "Jörg <a@bücher.example>"
        multi.attach(text)
        nested = module.message.SafeMIMEMessage(multi)
        made: list[bytes | str] = []
        for part in (text, multi, nested):
            part.set_unixfrom("From someone")
            made += [part.as_bytes(unixfrom=unixfrom, linesep=linesep), part.as_string(unixfrom, linesep)]
        return made

    import django.core.mail.message

    import mailworker.mail.message  # noqa: F401 - as `mail.message` below

    class Ours:
        SafeMIMEText = mail.SafeMIMEText
        SafeMIMEMultipart = mail.SafeMIMEMultipart
        message = mail

    assert django.core.mail.message
    assert parts(Ours) == parts(django_mail)


def test_a_message_of_djangos_own_goes_through_our_backends(django_mail, outbox):
    theirs = django_mail.EmailMessage("Hé", "b", "a@b.example", ["c@d.example"])
    assert mail.get_connection().send_messages([theirs]) == 1
    assert outbox[0].subject == "Hé"
    assert set(theirs.outcomes) == {"c@d.example"}


def test_a_message_of_ours_goes_through_djangos_backends(django_mail):
    django_mail.outbox = []
    message = mail.EmailMessage("Hé", "b", "a@b.example", ["c@d.example"], connection=django_mail.get_connection())
    assert message.send() == 1
    assert django_mail.outbox[0].subject == "Hé"


@pytest.mark.parametrize("text", ["a@b", "Jörg <jörg@bücher.example>", '"x, y" <a@b>', "root", "é" * 50 + " <a@b>"])
def test_addresses_are_sanitized_as_django_does(django_mail, text):
    from django.core.mail.message import sanitize_address as theirs

    from mailworker.mail.address import sanitize_address as ours

    assert ours(text, "utf-8") == theirs(text, "utf-8")
