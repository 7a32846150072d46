"""Django 5.2 as the oracle: what it renders, we render; where it raises, we raise."""

from __future__ import annotations

import re
from email.charset import BASE64, QP, Charset
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.text import MIMEText
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailworker import mail

slow = hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

#: No control characters but the tab: what we refuse and Django does not has tests of its own.
characters = st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\x85\u2028")
plain = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40)
line = st.one_of(
    plain,
    st.lists(st.sampled_from(["word", "a,", "b;c", "x" * 30, ""]), min_size=10, max_size=40).map(" ".join),
    st.text(characters, max_size=60),
    st.text("abc é日😀 ", min_size=60, max_size=200),
)
body = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.lists(line, max_size=5).map("\n".join),
    st.sampled_from(
        ["From here\n.\n..dots\n", "x" * 999, "x" * 998, "é" * 500, "trailing \n\t\n", "a\r\nb\rc\n", "日" * 400]
    ),
)
domain = st.sampled_from(
    [
        "example.com",
        "bücher.example",
        "xn--bcher-kva.example",
        "localhost",
        "ex\uff20mple",
        "[127.0.0.1]",
        "a..b",
        "ü" * 70,
    ]
)
local = st.one_of(st.sampled_from(["a", "a.b+c", "jörg", '"j d"', "o'x"]), st.text("ab.ü-_", min_size=1, max_size=8))
address = st.one_of(
    st.builds("{}@{}".format, local, domain),
    st.builds("{} <{}@{}>".format, line, local, domain),
    st.builds('"{}" <{}@{}>'.format, line, local, domain),
    st.sampled_from(["root", "Team: a@x, b@y;", "undisclosed:;", "é:;", "a@b, é@c", "<>", "é <a@b> (c)", ""]),
    line,
)
usual_domain = st.sampled_from(["example.com", "bücher.example", "xn--bcher-kva.example", "localhost", "faß.example"])
usual_local = st.sampled_from(["a", "a.b+c", "jörg", "o'x"])
usual_name = st.text(st.characters(categories=("L", "Nd", "So"), include_characters=" .'-"), max_size=60)
usual_address = st.one_of(
    st.builds("{}@{}".format, usual_local, usual_domain),
    st.builds('"{}" <{}@{}>'.format, usual_name, usual_local, usual_domain),
)
header_name = st.sampled_from(
    [
        *("X-Foo", "List-Id", "Comments", "Keywords", "References"),
        *("Sender", "From", "To", "Cc", "Reply-To", "Date", "Message-ID"),
    ]
)
header_value = st.one_of(plain, st.integers(), st.none(), st.sampled_from(["a " * 100, "x" * 1200]))
#: Charsets by what makes them, since a Charset is mutable.
charset = st.sampled_from(
    [
        None,
        "utf-8",
        "UTF-8",
        "iso-8859-1",
        "us-ascii",
        "koi8-r",
        "shift_jis",
        "utf-16",
        "nonsense",
        ("utf-8", QP),
        ("utf-8", BASE64),
        ("iso-8859-1", None),
    ]
)
usual_charset = st.one_of(st.sampled_from([None, "utf-8", "UTF-8"]), st.just(("utf-8", QP)), st.just(("utf-8", BASE64)))
filename = st.one_of(st.sampled_from([None, "a.txt", "b.pdf", "c.html", "d", "e.eml", 'q"uote.csv', "日.png"]), line)
binary_type = st.sampled_from(["application/pdf", "image/png", "application/octet-stream", "audio/x"])
binary = st.one_of(st.binary(max_size=200), plain)
source = "Subject: inner é\nTo: a@b\nX-Long: " + "word " * 40 + "\n\nbody é\n"
attachment = st.one_of(
    st.tuples(st.just("file"), filename, binary, binary_type),
    st.tuples(st.just("guessed"), filename.filter(bool), st.one_of(plain, plain.map(str.encode)), st.none()),
    st.tuples(st.just("rfc822"), filename, st.sampled_from(["str", "bytes", "stdlib", "email"]), st.none()),
    st.tuples(
        st.just("mime"), st.just(None), st.sampled_from(["text", "image", "base", "application", "cid"]), st.none()
    ),
)


def made_charset(recipe: Any) -> Any:
    if not isinstance(recipe, tuple):
        return recipe
    made = Charset(recipe[0])
    made.body_encoding = recipe[1]
    return made


def mime_part(kind: str) -> MIMEBase:
    part: MIMEBase
    if kind == "text":
        part = MIMEText("héllo\n", "plain", "utf-8")
    elif kind == "image":
        part = MIMEImage(b"\x89PNG", "png")
    elif kind == "application":
        part = MIMEApplication(b"\0\1", "zip")
    else:
        part = MIMEBase("image", "gif")
        part.set_payload("R0lGOD==")
        part["Content-Transfer-Encoding"] = "base64"
    if kind == "cid":
        part["Content-ID"] = "<logo@x>"
        part.add_header("Content-Disposition", "inline", filename=("utf-8", "", "löge.gif"))
    return part


def inner_message(module: Any, kind: str) -> Any:
    if kind == "str":
        return source
    if kind == "bytes":
        return source.encode()
    if kind == "stdlib":
        made = Message()
        made["Subject"] = "plain"
        made.set_payload("text\n")
        return made
    same = {"Date": "Thu, 01 Jan 2026 00:00:00 -0000", "Message-ID": "<inner@x>"}
    return module.EmailMessage("inné", "böd\n", "a@b", ["c@d"], headers=same, attachments=[("x.txt", "é", None)])


def build(module: Any, recipe: dict[str, Any]) -> Any:
    attachments: list[Any] = []
    for kind, name, content, mimetype in recipe["attachments"]:
        if kind == "mime":
            attachments.append(mime_part(content))
        elif kind == "rfc822":
            attachments.append(module.EmailAttachment(name, inner_message(module, content), "message/rfc822"))
        elif kind == "guessed":
            attachments.append((name, content))
        else:
            attachments.append((name, content, mimetype))
    message = module.EmailMultiAlternatives(
        recipe["subject"],
        recipe["body"],
        recipe["from"],
        recipe["to"],
        recipe["bcc"],
        attachments=attachments,
        headers=recipe["headers"],
        alternatives=recipe["alternatives"],
        cc=recipe["cc"],
        reply_to=recipe["reply_to"],
    )
    message.encoding = made_charset(recipe["charset"])
    message.content_subtype = recipe["subtype"]
    return message


def comparable(rendered: bytes, given: dict[str, Any]) -> bytes:
    """Number the boundaries, and take out the Date and Message-ID that nobody gave."""
    order: dict[bytes, bytes] = {}
    rendered = re.sub(rb"={15}\d{19}==", lambda m: order.setdefault(m[0], b"boundary-%d" % len(order)), rendered)
    head, gap, rest = rendered.partition(b"\n\n")
    if "Date" not in given:
        head = re.sub(rb"(?m)^Date: .*$", b"Date: now", head, count=1)
    if "Message-ID" not in given:
        head = re.sub(rb"(?m)^Message-ID:\s+<[^>]*>$", b"Message-ID: <new>", head, count=1)
    return head + gap + rest


def outcome(module: Any, recipe: dict[str, Any]) -> bytes | Exception:
    try:
        return comparable(build(module, recipe).message().as_bytes(), recipe["headers"])
    except Exception as error:  # noqa: BLE001 - the exception is what is compared
        return error


def recipes_of(address: Any, charset: Any, text_type: Any) -> Any:
    addresses = st.lists(address, max_size=3)
    text = st.tuples(
        st.just("file"), filename, st.one_of(body, body.map(str.encode), st.binary(max_size=50)), text_type
    )
    return st.fixed_dictionaries(
        {
            "subject": line,
            "body": body,
            "from": st.one_of(st.none(), address),
            "to": addresses,
            "cc": addresses,
            "bcc": st.lists(st.builds("{}@{}".format, local, domain), max_size=2),
            "reply_to": addresses,
            "headers": st.dictionaries(header_name, st.one_of(address, header_value), max_size=4),
            "attachments": st.lists(st.one_of(text, attachment), max_size=3),
            "alternatives": st.lists(st.one_of(st.tuples(body, text_type), st.tuples(binary, binary_type)), max_size=2),
            "charset": charset,
            "subtype": st.sampled_from(["plain", "html"]),
        }
    )


#: Most of these can be rendered, and most of the others cannot.
usual = recipes_of(usual_address, usual_charset, st.sampled_from(["text/plain", "text/html", "text/calendar"]))
odd = recipes_of(address, charset, st.sampled_from(["text/plain", "text/x-é"]))
nothing: dict[str, Any] = {
    "subject": "",
    "body": "",
    "from": None,
    "to": [],
    "cc": [],
    "bcc": [],
    "reply_to": [],
    "headers": {},
    "attachments": [],
    "alternatives": [],
    "charset": None,
    "subtype": "plain",
}


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
@given(recipe=usual)
def test_the_wire_gets_the_bytes_that_djangos_smtp_backend_sends(django_mail, recipe):
    from mailworker.mail.render import render

    try:
        theirs = build(django_mail, recipe).message().as_bytes(linesep="\r\n").replace(b"\r\n", b"\n")
        ours = render(build(mail, recipe))
    except Exception:  # noqa: BLE001 - the test above compares what is raised
        return
    assert b"\n" not in ours.replace(b"\r\n", b"")
    assert b"\r" not in ours.replace(b"\r\n", b"")
    assert comparable(ours.replace(b"\r\n", b"\n"), recipe["headers"]) == comparable(theirs, recipe["headers"])


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
