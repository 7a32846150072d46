from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage as ModernMessage
from email.message import Message
from email.mime.text import MIMEText
from typing import Any

import pytest

from mailworker import mail
from mailworker.errors import BadHeaderError
from mailworker.mail.render import flatten, render

FIXED = {"Date": "d", "Message-ID": "<m@x>"}


def overriding(result: Any) -> mail.EmailMessage:
    class Own(mail.EmailMessage):
        def message(self) -> Any:
            return result

    return Own("s", "b", "f@x", ["t@x"], headers=FIXED)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_line_ends_in_crlf_whatever_the_body_has(newline):
    content = render(mail.EmailMessage("s", f"one{newline}.two{newline}From three", "f@x", ["t@x"], headers=FIXED))
    assert content.endswith(b"\r\n\r\none\r\n.two\r\nFrom three")


def test_an_overriding_message_is_what_is_rendered():
    stdlib = MIMEText("From é\n", "plain", "utf-8")
    modern = ModernMessage()
    modern["Subject"] = "é"
    modern.set_content("From é\n")
    parsed = message_from_bytes(b"Subject: x\n\nFrom y\n")
    for result in (stdlib, modern, parsed):
        content = render(overriding(result))
        assert b"\n" not in content.replace(b"\r\n", b"")
        assert b">From" not in content
        again = message_from_bytes(content, policy=policy.default)
        assert again.get_payload(decode=True).replace(b"\r\n", b"\n") == result.get_payload(decode=True)  # type: ignore[union-attr]


def test_a_rendering_of_the_results_own_is_used_and_its_line_ends_mended():
    class Signed(Message):
        def as_bytes(self, unixfrom: bool = False, policy: Any = None) -> bytes:
            raise TypeError

    class Frozen:
        def as_bytes(self) -> bytes:
            return b"Subject: x\n\nfrozen\n"

    class Own(mail.SafeMIMEText):
        def as_bytes(self, unixfrom: bool = False, linesep: str = "\n") -> bytes:  # type: ignore[override]
            return b"mine" + linesep.encode()

    assert render(overriding(Frozen())) == b"Subject: x\r\n\r\nfrozen\r\n"
    assert render(overriding(Own("x"))) == b"mine\r\n"
    assert flatten(Signed()) == b"\n"


@pytest.mark.parametrize("result", [b"bytes", "text", None])
def test_a_message_that_renders_to_something_else_is_named(result):
    with pytest.raises(TypeError, match=type(result).__name__):
        render(overriding(result))


def test_a_message_that_renders_itself_is_checked_all_the_same():
    message = overriding(MIMEText("x"))
    message.subject = "a\nBcc: x@y"
    with pytest.raises(BadHeaderError):
        render(message)


def test_anything_with_message_can_be_rendered():
    class Thing:
        def message(self) -> Message:
            return MIMEText("x")

    assert render(Thing()).endswith(b"\r\n\r\nx")
