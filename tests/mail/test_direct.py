from __future__ import annotations

import random
import tracemalloc
from email.mime.text import MIMEText
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker import mail, settings
from mailworker.errors import BadHeaderError
from mailworker.mail import direct
from mailworker.mail.render import render
from tests.mail.ways import FIXED, assert_direct, message, standard

pytestmark = pytest.mark.usefixtures("same_identity")
LONG = "Your order number 1234567 from the shop has been shipped and will be with you on Monday morning"


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"headers": {}},
        {"body": ""},
        {"body": "no line end"},
        {"body": "From here\nFrom there\n"},
        {"body": ".\n..\n.x\n"},
        {"body": "a\r\nb\rc\n\r\n\n\rd"},
        {"body": "trailing \t \n \n\t\n"},
        {"body": "a\x85b\u2028c\x0bd\x0ce\x1cf\0g"},
        {"body": "é" * 499},
        {"body": "é" * 500},
        {"body": "x" * 998},
        {"body": "x" * 999},
        {"body": "x" * 998 + "\n" + "y" * 998 + "\r\n" + "z" * 998},
        {"body": "x" * 998 + "\n" + "y" * 999},
        {"body": "x" * 999 + "\n" + "y" * 500},
        {"body": "x" * 998 + "\r" + "y" * 998},
        {"body": "x" * 998 + "\x85" + "y" * 998},
        {"body": ("<td> =20</td>\t \r" * 200).replace("\r", "") + " \r\nx\r.\n"},
        {"subject": ""},
        {"subject": LONG},
        {"subject": LONG + "; " + LONG + ", " + LONG},
        *({"subject": "x" * size} for size in (68, 69, 70, 78, 79, 998, 1200)),
        {"subject": "Ihre Bestellung für München ist unterwegs"},
        {"subject": "Ваш заказ отправлен 🚚 и скоро будет дома, ждите звонка"},
        {"subject": "a\tb" * 30},
        {"subject": 12},
        {"from_email": "Jörg Müller <shop@bücher.example>"},
        {"to": [f"recipient{number}@example.com" for number in range(60)]},
        {
            "to": ["Ann <a@x.example>", '"Miller, B" <b@x.example>', "Zoë <z@x.example>"],
            "cc": ["c@x"],
            "reply_to": ["d@x"],
        },
        {"to": [], "bcc": ["hidden@example.com", "Jörg <hidden2@example.com>"]},
        {"to": ("a@b", "c@d")},
        {"headers": {**FIXED, "List-Unsubscribe": "<https://example.com/u/" + "a1" * 40 + ">, <mailto:u@example.com>"}},
        {"headers": {**FIXED, "X-Priority": 1, "X-Empty": "", "X-Spaces": " a  b ", "x-lower": "x" * 1000}},
        {
            "headers": {
                **FIXED,
                "FROM": "other@example.com",
                "to": "all@example.com",
                "subJect": "Other",
                "BCC": "hidden@example.com",
            }
        },
        {"headers": {"date": "d", "MESSAGE-ID": "<x@y>", "In-Reply-To": "<z@y>", "References": "<z@y> " * 9 + "<x@y>"}},
        {"alternatives": [("<p>It is on its way.</p>\n", "text/html")]},
        {"alternatives": [("<p>é</p>", "text/html"), ("BEGIN", "text/calendar")]},
        {"alternatives": [("<p>" + "é" * 900, "text/html")]},
        {"alternatives": [("<p>", "text/html")], "body": ""},
        {"alternatives": [("{}", "application/json"), (b"\x89PNG", "image/png")]},
        {"attachments": [("invoice.pdf", bytes(range(256)) * 300, "application/pdf")]},
        {"attachments": [("invoice.pdf", b"", "application/pdf")], "body": ""},
        {"attachments": [("a.txt", "é\r\n", "text/plain"), ("b.csv", "a;b\n", "text/csv"), (None, b"x", "image/png")]},
        {"attachments": [("a.txt", b"\xff\xfe", "text/plain")]},
        {"attachments": [("a.txt", "é", None), ("b", "é", "application/json")]},
        {
            "attachments": [
                ('a "b" \\c.pdf', b"x", "application/pdf"),
                ("Rechnung für Jörg.pdf", b"x", "application/pdf"),
            ]
        },
        {"attachments": [(" a  b\t.pdf", b"x", "application/pdf"), ("x" * 34, b"x", "a/b"), ("x" * 35, b"x", "a/b")]},
        {"attachments": [("日" * 100 + ".pdf", b"x", "application/pdf"), ("x y " * 40 + "z", b"x", "a/b")]},
        {"attachments": [("a", b"x", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")]},
        {"attachments": [("x", "<p>", "text/html")], "alternatives": [("<p>é</p>", "text/html")]},
        {"attachments": [("x", "<p>", "text/html")], "alternatives": [("<p>é</p>", "text/html")], "body": ""},
    ],
)
def test_what_programs_send_is_written_directly(kwargs):
    assert_direct(message(**kwargs))
    if "alternatives" not in kwargs:
        assert_direct(mail.EmailMessage(**{"from_email": "a@b", "to": ["c@d"], "headers": FIXED, **kwargs}))


def test_a_message_that_came_out_of_the_queue_is_written_directly():
    from mailworker.mail.codec import Codec

    sent = message(alternatives=[("<p>é</p>", "text/html")], attachments=[("a.pdf", b"x" * 99, "application/pdf")])
    decoded = Codec().decode(Codec().encode(sent))
    state = random.getstate()
    content = assert_direct(decoded)
    random.setstate(state)
    assert content == standard(sent)


def test_html_alone_and_a_default_charset_are_common():
    html = message(body="<p>é</p>")
    html.content_subtype = "html"
    assert b'Content-Type: text/html; charset="utf-8"\r\n' in assert_direct(html)
    html.encoding = "utf-8"
    assert_direct(html)
    with settings.override(DEFAULT_CHARSET="iso-8859-1"):
        assert_direct(html)
        html.encoding = None
        assert direct.rendered(html) is None
        assert b'charset="iso-8859-1"' in render(html)


def test_rendering_takes_the_direct_way(monkeypatch):
    made = message()
    expected = standard(made)
    monkeypatch.setattr("mailworker.mail.render.flatten", None)
    assert render(made) == expected


def test_bcc_is_shown_nowhere():
    assert b"hidden" not in assert_direct(message(bcc=["hidden@example.com"], headers={**FIXED, "bcc": "hidden@x"}))


# What is left to the standard library.


@pytest.mark.parametrize(
    "name",
    [
        *("message", "_create_message", "_create_attachments", "_create_mime_attachment", "_create_attachment"),
        *("_create_alternatives", "_charset", "_shown_address"),
    ],
)
@pytest.mark.parametrize("kind", [mail.EmailMessage, mail.EmailMultiAlternatives])
def test_a_class_that_somebody_patched_renders_as_patched(monkeypatch, kind, name):
    made = kind("s", "b", "a@b", ["c@d"])
    assert direct.rendered(made) is not None
    if hasattr(kind, name):
        monkeypatch.setattr(kind, name, lambda *args: None)
    else:
        monkeypatch.setitem(vars(made), name, lambda *args: None)
    assert direct.rendered(made) is None


def test_a_subclass_and_what_is_no_message_of_ours_are_left_alone():
    class Own(mail.EmailMessage):
        pass

    assert direct.rendered(Own("s", "b", "a@b", ["c@d"])) is None
    assert direct.rendered(MIMEText("x")) is None
    assert direct.rendered(None) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject", "a\nBcc: x@y"),
        ("from_email", "a@b\r\nBcc: x@y"),
        ("to", ["a@b\nX: y"]),
        ("bcc", ["a@b\nX: y"]),
        ("reply_to", ["é\x0b <a@b>"]),
        ("extra_headers", {"X": "a\rb"}),
        ("extra_headers", {"X\n": "a"}),
        ("extra_headers", {"Bcc": "a\nb"}),
        ("extra_headers", {"Content-Type": "text/html"}),
        ("attachments", [("a\nb", b"x", "a/b")]),
        ("alternatives", [("a", "text/html\n")]),
        ("content_subtype", "plain\n"),
        ("mixed_subtype", "x\ny"),
        ("alternative_subtype", "x\ny"),
        ("encoding", "utf-8\n"),
    ],
)
def test_a_header_that_breaks_out_of_its_line_is_still_refused(name, value):
    made = message(headers=dict(FIXED))
    setattr(made, name, value)
    assert direct.rendered(made) is None
    with pytest.raises(BadHeaderError):
        render(made)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"subject": "ok", "headers": {"Subject": "fine"}},
        {"to": ["a@b"], "headers": {"To": "c@d"}},
        {"from_email": "a@b", "headers": {"From": "c@d"}},
    ],
)
def test_what_a_header_replaces_is_checked_all_the_same(kwargs):
    made = message(**kwargs)
    assert_direct(made)
    name = next(name for name in ("subject", "to", "from_email") if name in kwargs)
    setattr(made, name, ["a\nb"] if name == "to" else "a\nb")
    assert direct.rendered(made) is None


# Boundaries, and what it costs.


def test_a_boundary_never_stands_in_a_part(monkeypatch):
    drawn = iter([1, 2, 1, 1])
    monkeypatch.setattr("mailworker.mail.direct.random", SimpleNamespace(randrange=lambda end: next(drawn)))
    one, two = (f"{'=' * 15}{number:019d}==" for number in (1, 2))
    held = assert_parts(message(body=f"--{one}--\r\n", alternatives=[(f"--{one}.0", "text/html")]), 2)
    assert f'boundary="{one}.1"' in held
    held = assert_parts(message(body=f"x--{two}", alternatives=[("x", "text/html")]), 2)
    assert f'boundary="{two}.0"' in held
    held = assert_parts(message(alternatives=[("x", "text/html")], attachments=[("a", b"x", "a/b")]), 2)
    assert f'boundary="{one}"' in held
    assert f'boundary="{one}.0"' in held


def assert_parts(made: Any, count: int) -> str:
    from email import message_from_bytes

    content = direct.rendered(made)
    assert content is not None
    assert len(message_from_bytes(content).get_payload()) == count
    return content.decode()


def test_boundaries_are_drawn_anew_for_each_rendering():
    made = message(alternatives=[("x", "text/html")])
    assert direct.rendered(made) != direct.rendered(made)


def test_a_large_file_adds_less_than_twice_its_size():
    made = message(attachments=[("a.bin", bytes(8_000_000), "application/octet-stream")])
    tracemalloc.start()
    try:
        content = direct.rendered(made)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert content is not None
    assert most < 2 * 8_000_000


def test_a_path_as_a_files_name_is_left_to_attach():
    made = message(attachments=[(Path("folder/a.pdf"), b"x", None)])
    assert b'filename="a.pdf"' in assert_direct(made)
