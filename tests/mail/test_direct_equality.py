from __future__ import annotations

from email.charset import Charset
from email.mime.text import MIMEText
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailworker import mail
from mailworker.mail import direct
from mailworker.smtp.content import with_crlf
from tests.mail.oracle_messages import build, common, nothing, odd, usual
from tests.mail.ways import both, standard

pytestmark = pytest.mark.usefixtures("same_identity")
slow = hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def assert_same(message: Any) -> None:
    directly, expected = both(message)
    event("left to the standard library" if directly is None else "written directly")
    if directly is not None:
        assert directly == expected


@slow
@given(recipe=common)
def test_a_common_message_is_the_same_octets_as_by_the_standard_library(recipe):
    assert_same(build(mail, recipe))


@slow
@given(recipe=usual | odd)
def test_any_message_that_is_written_directly_is_the_same_octets_as_by_the_standard_library(recipe):
    assert_same(build(mail, recipe))


class Text(str):
    """Shows itself otherwise than it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"


def own(*args: Any, **kwargs: Any) -> Any:
    return MIMEText("own")


#: Attribute -> what somebody may set it to, right or wrong.
CHANGES: dict[str, list[Any]] = {
    "body": [None, b"x", "", "\udc80", "é\udcff", Text("x"), "a\x85b\u2028c", "\r", "\n\r", "=" * 999, 7],
    "subject": [
        None,
        7,
        "",
        " x",
        "x ",
        "a\tb",
        "a\nb",
        "é\x85",
        "é\xa0",
        "\x7f",
        "\x0b",
        "\udc80",
        Text("x"),
        "x" * 999,
    ],
    "from_email": [None, "", "<>", "é", ("É", "a@b"), "a@b\r\nX: y", "é\x0b@x", Text("a@b"), "É <a@é.example>", 7],
    "to": [
        *([""], ["é"], ("a@b", "c@d"), "a@b", [None], [("É", "a@b")], ["a\x0bb"], {"a@b": 1}, [Text("a@b")], []),
        *(["Ann <a@b>, Bob"] * 9, ["é <a@b>", "c@d"], None, [7]),
    ],
    "cc": [None, [""], ["a\n@b"], ["é <a@b>"]],
    "bcc": [None, ["a\n@b"], ["é@b"], [3], "a@b", [("x\r", "a@b")], ["a\x1cb"], ("a@b",)],
    "reply_to": [None, ["<>"], ["a;b", "c"], ["a\0"], [("É", "a@b")]],
    "encoding": ["utf-8", "UTF-8", "utf8", "", "latin-1", "us-ascii", "\n", Charset("utf-8"), Text("utf-8"), 1],
    "content_subtype": [
        "html",
        "HTML",
        "plain; format=flowed",
        "a\nb",
        "",
        "x" * 70,
        None,
        "é",
        "x/y",
        "x y",
        Text("plain"),
    ],
    "mixed_subtype": ["related", "a\nb", "mixed", Text("mixed"), None],
    "alternative_subtype": ["related", "a\nb", "alternative", None],
    "alternatives": [
        *(
            None,
            (),
            [("x", "a\nb/c")],
            [["x", "text/html"]],
            [("x",)],
            [("<p>", "TEXT/HTML")],
            [(b"x", "text/html")],
            [7],
        ),
        *([("\udc80", "text/html")], [("é" * 600, "text/html")], [(b"x", "image/png")], [("é", "application/json")]),
        *(
            [("x", "multipart/x")],
            [("x", "message/rfc822")],
            [("x", "text/html; charset=x")],
            [("x", None)],
            [("x", "")],
        ),
    ],
    "attachments": [
        *(None, (), [7], [MIMEText("x")], [("a.txt", "x")], [["a.txt", "x", "text/plain"]], [("a", b"x", None)]),
        *(
            [("a", b"", "")],
            [("a\nb", b"", "a/b")],
            [("é\x85", b"", "a/b")],
            [("\udc80", b"", "a/b")],
            [(3, b"", "a/b")],
        ),
        *([("", b"", "a/b")], [(None, "é", "a/b")], [("a", "\udc80", "a/b")], [("a", None, "a/b")], [("a", 7, "a/b")]),
        *([("a", bytearray(b"x"), "a/b")], [("a", memoryview(b"x"), "a/b")], [("a", b"\xff", "text/plain")]),
        *([("a", b"x", "a/b; c=d")], [("a", b"x", "message/partial")], [("a", "To: x", "message/rfc822")]),
        *([("a", b"x", "a")], [("a", b"x", "A/B")], [("a", b"x", "multipart/x")], [("a", Text("x"), "a/b")]),
        *([(Text("a"), b"x", "a/b")], [("a", b"x", Text("a/b"))], [("a\tb", b"x", "a/b")], [(0, b"x", "a/b")]),
    ],
    "extra_headers": [
        *(None, {"x y": "z"}, {"": "x"}, {"X": None}, {"X": 3}, {"X": True}, {"X": 1.5}, {"X": "a\nb"}, {3: "x"}),
        *({"to": "a@b"}, {"SUBJECT": "é"}, {"from": "a@b", "From": "c@d"}, {"From": "c@d", "from": "a@b"}, {"Cc": "é"}),
        *({"Bcc": "x"}, {"Bcc": "x\ny"}, {"Content-Type": "text/x"}, {"mime-version": "1.0"}, {"MIME-Version": "2"}),
        *({"X": "y" * 999}, {"x-a": "1", "X-A": "2"}, {"Sender": "é"}, {"date": "x", "Date": "y"}, {"Resent-Bcc": "x"}),
        *(MappingProxyType({"X": "y"}), {"MESSAGE-ID": "<x>"}, {"X": Text("y")}, {Text("X"): "y"}, {"X": ""}),
        *({"Content-Language": "de", "Content-ID": "<x>"}, {"Resent-To": "É <a@b>"}, {"é": "x"}, {"X": "\udc80"}),
        *({"content-transfer-encoding": "8bit"}, {"Reply-To": ""}, {"Subject": None}),
    ],
    "message": [own],
    "_create_message": [own],
    "_create_attachments": [own],
    "_create_alternatives": [own],
    "_create_mime_attachment": [own],
    "_create_attachment": [own],
    "_charset": [lambda: "latin-1"],
    "_shown_address": [lambda address: "shown@example.com"],
}
all_changes = [(name, value) for name, values in CHANGES.items() for value in values]
kinds = pytest.mark.parametrize("kind", [mail.EmailMessage, mail.EmailMultiAlternatives])
everything: dict[str, Any] = {
    **nothing,
    "subject": "Hé",
    "body": "b\n",
    "to": ["a@b.example"],
    "cc": ["c@d.example"],
    "bcc": ["e@f.example"],
    "headers": {"X-A": "x"},
    "alternatives": [("<p>", "text/html")],
    "attachments": [("file", "a.pdf", b"x", "application/pdf"), ("file", "a.txt", "x", "text/plain")],
}


def of_kind(kind: Any, recipe: dict[str, Any]) -> Any:
    made = build(mail, recipe)
    if kind is mail.EmailMessage:
        plain = kind(made.subject, made.body, made.from_email, made.to, made.bcc, None, made.attachments)
        plain.extra_headers, plain.cc, plain.reply_to = made.extra_headers, made.cc, made.reply_to
        return plain
    return made


@kinds
@pytest.mark.parametrize("recipe", [nothing, everything], ids=["nothing", "everything"])
def test_whatever_somebody_sets_on_a_message_counts_as_it_does_by_the_standard_library(kind, recipe):
    wrong: list[Any] = []
    for name, value in all_changes:
        made = of_kind(kind, recipe)
        setattr(made, name, value)
        directly, expected = both(made)
        if directly not in (None, expected):
            wrong.append((name, value, directly, expected))
    assert not wrong


@kinds
@slow
@given(recipe=common, changed=st.lists(st.sampled_from(all_changes), min_size=2, max_size=3))
def test_two_things_set_at_once_count_as_well(kind, recipe, changed):
    made = of_kind(kind, recipe)
    for name, value in changed:
        setattr(made, name, value)
    assert_same(made)


def test_nearly_all_common_messages_are_written_directly():
    taken: list[bool] = []

    @hypothesis_settings(slow, derandomize=True, database=None, max_examples=150)
    @given(recipe=common)
    def look(recipe: Any) -> None:
        made = build(mail, recipe)
        try:
            standard(made)
        except Exception:  # noqa: BLE001 - what cannot be rendered is not common
            return
        taken.append(direct.rendered(made) is not None)

    look()
    assert len(taken) > 100
    assert sum(taken) > 0.9 * len(taken)


@slow
@given(recipe=common)
@example(recipe=nothing)
def test_every_line_ends_in_crlf_and_headers_are_ascii(recipe):
    content = direct.rendered(build(mail, recipe))
    if content is None:
        return
    assert content == with_crlf(content)
    assert content.partition(b"\r\n\r\n")[0].isascii()
