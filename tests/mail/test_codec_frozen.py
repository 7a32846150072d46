"""A message that renders or addresses itself in a way of its own is frozen; what backends do with it, they can go on doing."""

from __future__ import annotations

import copy
import functools
import pickle
from email import policy
from email.generator import BytesGenerator
from email.message import EmailMessage as ModernMessage
from email.message import Message
from email.mime.text import MIMEText
from io import BytesIO
from typing import Any

import pytest

from mailworker import mail
from mailworker.errors import BadHeaderError, UnserializableMessage
from mailworker.mail.address import envelope_recipients
from mailworker.mail.codec import Codec
from mailworker.mail.frozen import FrozenMessage, override_of
from mailworker.mail.render import render

FIELDS = ("sübject", "From here\nböd\n", "Ann <a@b.example>", ["c@d.example"])


def through_the_queue(message: Any) -> Any:
    return Codec().decode(Codec().encode(message))


class Signed(mail.EmailMessage):
    """Renders anew at each call, so that a second call would show."""

    calls = 0

    def message(self):
        type(self).calls += 1
        made = super().message()
        made["X-Call"] = str(type(self).calls)
        return made


def test_an_override_runs_once_and_its_bytes_are_what_every_attempt_sends():
    Signed.calls = 0
    decoded = through_the_queue(Signed(*FIELDS))
    assert Signed.calls == 1
    assert render(decoded) == render(decoded)
    assert b"\r\nX-Call: 1\r\n" in render(decoded)


@pytest.mark.parametrize("linesep", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("unixfrom", [False, True])
def test_the_bytes_are_the_same_through_any_line_end_that_a_backend_asks_for(linesep, unixfrom):
    kept: list[Any] = []

    class Keeping(mail.EmailMessage):
        def message(self):
            kept.append(super().message())
            kept[-1].set_unixfrom("From me")
            return kept[-1]

    message = Keeping(*FIELDS)
    message.attach("a.bin", b"\0\1", "application/pdf")
    mime = through_the_queue(message).message()
    (original,) = kept
    if unixfrom:  # it is no part of the bytes
        assert mime.as_bytes(unixfrom=True, linesep=linesep) == b"From nobody" + linesep.encode() + original.as_bytes(
            linesep=linesep
        )
        return
    assert mime.as_bytes(linesep=linesep) == original.as_bytes(linesep=linesep)
    assert mime.as_bytes(False, linesep) == original.as_bytes(linesep=linesep)
    assert mime.as_bytes(policy=policy.SMTP) == original.as_bytes(linesep="\r\n")
    assert mime.as_string(linesep=linesep).encode() == original.as_bytes(linesep=linesep)
    assert bytes(mime) == str(mime).encode() == original.as_bytes()
    assert mime.items() == original.items()
    assert mime.get_boundary() == original.get_boundary()
    assert [part.get_payload(decode=True) for part in mime.walk()] == [
        part.get_payload(decode=True) for part in original.walk()
    ]


def test_looking_into_it_does_not_change_the_bytes():
    decoded = through_the_queue(Signed(*FIELDS))
    mime, untouched = decoded.message(), decoded.message().as_bytes()
    assert mime["Subject"] == "=?utf-8?q?s=C3=BCbject?="
    assert mime.get_content_type() == "text/plain"
    assert len(mime.keys()) == len(mime.items())
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False).flatten(mime)
    assert out.getvalue() == mime.as_bytes() == untouched


@pytest.mark.parametrize(
    "change",
    [
        lambda mime: mime.__setitem__("X-Added", "1"),
        lambda mime: mime.__delitem__("Subject"),
        lambda mime: mime.replace_header("To", "x@y.example"),
        lambda mime: mime.set_payload("other"),
        lambda mime: mime.set_param("x", "y"),
    ],
)
def test_a_backend_that_changes_what_it_got_sends_the_changed_message(change):
    decoded = through_the_queue(Signed(*FIELDS))
    mime, plain = decoded.message(), Message.__new__(Message)
    change(mime)
    assert mime.as_bytes() != decoded.message().as_bytes()
    assert mime.as_bytes(linesep="\r\n").replace(b"\r\n", b"\n") == mime.as_bytes()
    assert plain is not mime


def test_an_epilogue_that_is_set_before_anything_was_read_is_written():
    class Mixed(Signed):
        pass

    message = Mixed(*FIELDS)
    message.attach("a.txt", "x", "text/plain")
    mime = through_the_queue(message).message()
    mime.epilogue = "after it\n"
    assert mime.as_bytes().endswith(b"--\nafter it\n")


@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("is_read", [False, True])
def test_a_copy_of_it_is_as_good(twin_of, is_read):
    decoded = through_the_queue(Signed(*FIELDS))
    mime = decoded.message()
    if is_read:
        assert mime["To"]
    assert twin_of(mime).as_bytes() == mime.as_bytes()
    assert twin_of(mime)["To"] == "c@d.example"
    assert render(twin_of(decoded)) == render(decoded)
    assert twin_of(decoded).recipients() == decoded.recipients()


def test_the_frozen_recipients_are_the_envelope_and_can_be_restricted():
    class Routed(mail.EmailMessage):
        def recipients(self):
            return ["One <one@d.example>", "two@d.example"]

    decoded = through_the_queue(Routed(*FIELDS))
    assert decoded.to == ["c@d.example"]
    assert envelope_recipients(decoded) == ["one@d.example", "two@d.example"]
    before = render(decoded)
    decoded.restrict_to(["two@d.example"])
    assert decoded.recipients() == ["two@d.example"]
    assert render(decoded) == before
    assert through_the_queue(decoded).recipients() == ["two@d.example"]


def test_an_override_on_the_message_itself_counts():
    message: Any = mail.EmailMessage(*FIELDS)
    message.message = lambda: MIMEText("by hand")
    decoded = through_the_queue(message)
    assert decoded.message().get_payload() == "by hand"
    other: Any = mail.EmailMessage(*FIELDS)
    other.recipients = lambda: ["x@y.example"]
    assert through_the_queue(other).recipients() == ["x@y.example"]


def test_a_patched_or_wrapped_method_of_the_known_classes_counts(monkeypatch):
    assert override_of(mail.EmailMessage(*FIELDS)) is None
    genuine = mail.EmailMessage.message

    @functools.wraps(genuine)
    def traced(self):
        made = genuine(self)
        made["X-Trace"] = "1"
        return made

    monkeypatch.setattr(mail.EmailMessage, "message", traced)
    decoded = through_the_queue(mail.EmailMultiAlternatives(*FIELDS))
    assert isinstance(decoded, FrozenMessage)
    monkeypatch.undo()
    assert b"X-Trace: 1" in render(decoded)


def test_which_methods_count_as_an_override_is_the_same_for_djangos_classes(django_mail):
    for module in (mail, django_mail):
        email_message: Any = module.EmailMessage
        multi: Any = module.EmailMultiAlternatives

        class Hook(multi):
            def _create_alternatives(self, msg):
                return super()._create_alternatives(msg)

        class Mixin:
            def message(self):
                return super().message()  # type: ignore[misc]

        class Mixed(Mixin, email_message):
            pass

        class Harmless(multi):
            def __init__(self, *args):
                super().__init__(*args)

            def send(self, fail_silently=False):
                return 0

            def attach(self, *args):
                return super().attach(*args)

            def _own_helper(self):
                return None

        assert override_of(module.EmailMessage(*FIELDS)) is None
        assert override_of(module.EmailMultiAlternatives(*FIELDS)) is None
        assert override_of(Harmless(*FIELDS)) is None
        assert override_of(Hook(*FIELDS)) == "_create_alternatives"
        assert override_of(Mixed(*FIELDS)) == "message"


def test_a_subclass_of_djangos_is_frozen_to_what_django_sends(django_mail):
    base: Any = django_mail.EmailMessage

    class Loud(base):
        def message(self):
            made = super().message()
            made["X-Loud"] = "1"
            return made

    message = Loud(*FIELDS, attachments=[("a.txt", "é", "text/plain")])
    decoded = through_the_queue(message)
    pattern = message.message()
    pattern.set_boundary(decoded.message().get_boundary())
    assert render(decoded) == pattern.as_bytes(linesep="\r\n")
    assert decoded.attachments == message.attachments


@pytest.mark.parametrize("kind", [Message, ModernMessage, MIMEText])
def test_any_message_of_the_standard_library_may_be_what_an_override_returns(kind):
    class Own(mail.EmailMessage):
        def message(self):
            made = kind("x") if kind is MIMEText else kind()
            made["Subject"] = "own"
            made.set_payload("From line\n")
            return made

    decoded = through_the_queue(Own(*FIELDS))
    assert b"\r\n\r\nFrom line\r\n" in render(decoded)
    assert decoded.message()["Subject"] == "own"


def test_bytes_that_insist_on_their_line_ends_keep_them():
    class Raw:
        def as_bytes(self, linesep="\n"):
            return b"Subject: raw\n\none\r\ntwo\nthree\n"

    class Insisting(mail.EmailMessage):
        def message(self):
            return Raw()

    mime = through_the_queue(Insisting(*FIELDS)).message()
    assert mime.as_bytes(linesep="\r\n") == Raw().as_bytes()
    assert mime["Subject"] == "raw"


@pytest.mark.parametrize("returned", [None, "text", b"bytes", 7])
def test_an_override_that_returns_no_message_is_refused_by_name(returned):
    class Broken(mail.EmailMessage):
        def message(self):
            return returned

    with pytest.raises(
        UnserializableMessage, match=rf"message\(\) of class Broken returned type {type(returned).__name__}"
    ):
        Codec().encode(Broken(*FIELDS))


def test_recipients_that_are_no_addresses_are_refused_by_name():
    class Broken(mail.EmailMessage):
        def recipients(self):
            return ["a@b.example", b"c@d.example"]

    with pytest.raises(UnserializableMessage, match=r"recipients\(\)\[1\] is of type bytes"):
        Codec().encode(Broken(*FIELDS))


def test_an_error_of_the_override_reaches_the_caller():
    message = Signed("two\nlines", *FIELDS[1:])
    with pytest.raises(BadHeaderError):
        Codec().encode(message)
    with pytest.raises(ZeroDivisionError):
        Codec().encode(_dividing())


def _dividing() -> Any:
    message: Any = mail.EmailMessage(*FIELDS)
    message.message = lambda: 1 / 0
    return message


def test_what_behaves_like_a_message_without_being_one_is_frozen():
    class Duck:
        subject, body, from_email, to = FIELDS
        extra_headers: Any = {}  # noqa: RUF012 - as users write it
        attachments: Any = ()

        def message(self):
            return MIMEText("quack")

        def recipients(self):
            return self.to

    decoded = through_the_queue(Duck())
    assert isinstance(decoded, FrozenMessage)
    assert decoded.message().get_payload() == "quack"
