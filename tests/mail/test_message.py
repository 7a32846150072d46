from __future__ import annotations

import copy
import pickle
import threading
from collections import UserString
from email import message_from_bytes, policy
from email.charset import QP, Charset
from email.header import decode_header, make_header
from email.message import EmailMessage as ModernMessage
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.text import MIMEText
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import mailworker
from mailworker import mail, settings
from mailworker.mail.identity import freeze_identity
from mailworker.mail.render import render
from mailworker.outcome import Outcome, OutcomeClass


def rendered(message: mail.EmailMessage) -> Message:
    return message_from_bytes(message.message().as_bytes())


def test_every_argument_can_be_given_by_position():
    connection = object()
    message = mail.EmailMessage(
        "s", "b", "f@x", ("t@x",), ("b@x",), connection, [("n", "c", "text/plain")], {"X": "y"}, ("c@x",), ("r@x",)
    )
    assert (message.subject, message.body, message.from_email) == ("s", "b", "f@x")
    assert (message.to, message.bcc, message.cc, message.reply_to) == (["t@x"], ["b@x"], ["c@x"], ["r@x"])
    assert message.connection is connection
    assert message.attachments == [mail.EmailAttachment("n", "c", "text/plain")]
    assert message.extra_headers == {"X": "y"}
    more = mail.EmailMultiAlternatives(
        "s", "b", "f@x", ["t@x"], ["b@x"], connection, None, {"X": "y"}, [("<p>", "text/html")], ["c@x"], ["r@x"]
    )
    assert more.alternatives == [mail.EmailAlternative("<p>", "text/html")]
    assert more.recipients() == ["t@x", "c@x", "b@x"]


@pytest.mark.parametrize("name", ["to", "cc", "bcc", "reply_to"])
@pytest.mark.parametrize("value", ["a@b.example", b"a@b.example"])
def test_a_string_in_place_of_a_list_of_addresses_is_a_type_error(name, value):
    with pytest.raises(TypeError, match=f"{name} is a string"):
        mail.EmailMessage(**{name: value})


@pytest.mark.parametrize("name", ["to", "cc", "bcc", "reply_to"])
def test_a_string_that_takes_the_place_of_a_list_later_is_a_type_error_too(name, outbox):
    # Taken letter by letter, it would be mail to the relay's local users of these names.
    message = mail.EmailMessage(to=["a@b.example"])
    setattr(message, name, "ann@example.com")
    with pytest.raises(TypeError, match=f"{name} is a string"):
        message.send()
    with pytest.raises(TypeError, match=f"{name} is a string"):
        message.send(fail_silently=True)
    assert outbox == []


def test_the_callers_list_of_recipients_is_copied():
    to = ["a@b.example"]
    message = mail.EmailMessage(to=to)
    to.append("c@d.example")
    assert message.recipients() == ["a@b.example"]


def test_no_sender_means_the_default_one():
    with settings.override(DEFAULT_FROM_EMAIL="Shop <shop@example.com>"):
        assert mail.EmailMessage().from_email == "Shop <shop@example.com>"


def test_blank_recipients_do_not_count():
    assert mail.EmailMessage(to=["", None], cc=["a@b.example"]).recipients() == ["a@b.example"]


def test_a_message_without_recipients_is_not_sent(outbox):
    class Backend:
        def send_messages(self, messages: Any) -> int:
            raise AssertionError

    assert mail.EmailMessage("s", "b", connection=Backend()).send() == 0
    assert outbox == []


@pytest.mark.parametrize("header", ["From", "To", "Cc", "Reply-To", "Date", "Message-ID", "Subject", "Sender"])
@pytest.mark.parametrize("change", [str, str.lower, str.upper, str.swapcase])
def test_a_header_of_the_callers_replaces_the_one_of_the_message_whatever_its_letter_case(header, change):
    message = mail.EmailMessage(
        "s", "b", "f@x", ["t@x"], cc=["c@x"], reply_to=["r@x"], headers={change(header): "<mine@x>"}
    )
    assert rendered(message).get_all(header) == ["<mine@x>"]
    assert message.recipients() == ["t@x", "c@x"]


def test_two_spellings_of_one_header_do_not_double_it():
    message = mail.EmailMessage(
        headers={"date": "one", "Date": "two", "DATE": "three", "sender": "x@y", "SENDER": "z@y"}
    )
    assert rendered(message).get_all("Date") == ["two"]
    assert rendered(message).get_all("Sender") == ["z@y"]


def test_a_header_that_may_stand_there_often_does():
    assert rendered(mail.EmailMessage(headers={"X-A": "1", "x-a": "2"})).get_all("X-A") == ["1", "2"]


@pytest.mark.parametrize("name", ["Bcc", "bcc", "BCC", "Resent-Bcc"])
def test_blind_copies_are_never_shown(name):
    message = mail.EmailMessage("s", "b", "f@x", ["t@x"], bcc=["secret@x"], headers={name: "secret@x"})
    assert b"secret" not in render(message)
    assert message.recipients() == ["t@x", "secret@x"]


def test_mime_version_in_headers_is_not_doubled():
    assert rendered(mail.EmailMessage(headers={"MIME-Version": "1.0"})).get_all("MIME-Version") == ["1.0"]


def test_the_message_id_ends_with_the_senders_domain_and_costs_no_dns(monkeypatch):
    def no_dns(*args: Any) -> str:
        raise AssertionError("asked DNS")

    monkeypatch.setattr("socket.getfqdn", no_dns)
    for sender, domain in (
        ("Jö <a@bücher.example>", "xn--bcher-kva.example"),
        ("root", "localhost"),
        ("a b", "localhost"),
    ):
        message_id = mail.EmailMessage(from_email=sender).message()["Message-ID"]
        assert message_id.endswith(f"@{domain}>")
        assert message_id.isascii()
    with settings.override(DEFAULT_FROM_EMAIL="a@shop.example"):
        assert mail.make_msgid().endswith("@shop.example>")
    assert ".batch@x.example>" in mail.make_msgid("batch", "x.example")
    assert mail.make_msgid(domain="[192.0.2.1]").endswith("@[192.0.2.1]>")
    assert mail.make_msgid(domain="a b>").endswith("@localhost>")


def test_message_ids_differ():
    assert len({mail.make_msgid() for _ in range(1000)}) == 1000


def test_the_date_is_utc_unless_local_time_is_asked_for(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-5")
    time.tzset()
    try:
        assert mail.EmailMessage().message()["Date"].endswith("-0000")
        with settings.override(EMAIL_USE_LOCALTIME=True):
            assert mail.EmailMessage().message()["Date"].endswith("+0500")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_frozen_identity_is_the_same_at_each_rendering_and_stands_where_it_would_anyway():
    headers = {"X-A": "1", "x-b": "2"}
    message = mail.EmailMessage("s", "b", "a@shop.example", ["t@x"], headers=headers)
    loose = list(message.message().keys())
    freeze_identity(message)
    frozen = message.extra_headers
    assert render(message) == render(message)
    assert list(message.message().keys()) == loose
    assert message.extra_headers["Message-ID"].endswith("@shop.example>")
    assert headers == {"X-A": "1", "x-b": "2"}
    freeze_identity(message)
    assert message.extra_headers == frozen


def test_frozen_identity_keeps_what_the_caller_gave():
    message = mail.EmailMessage(headers={"message-id": "<mine@x>", "DATE": "now"})
    freeze_identity(message)
    assert message.extra_headers == {"message-id": "<mine@x>", "DATE": "now"}


def test_a_restricted_message_goes_to_some_and_shows_all():
    message = mail.EmailMessage(
        "s", "b", "f@x", ["t@x", "u@x"], bcc=["b@x"], headers={"Date": "d", "Message-ID": "<m@x>"}
    )
    before = render(message)
    message.restrict_to(["b@x"])
    assert message.recipients() == ["b@x"]
    assert render(message) == before
    message.restrict_to([])
    assert message.recipients() == []
    assert copy.deepcopy(message).recipients() == []


def test_lazy_strings_are_taken_by_their_text(outbox):
    class Lazy(UserString):
        """No str, and has all of its methods: as a translation that is made when it is read."""

    message = mail.EmailMultiAlternatives(
        Lazy("Hé"),
        Lazy("body é"),
        Lazy("f@x"),
        [Lazy("t@x")],
        headers={"X-A": Lazy("v")},
        attachments=[(Lazy("n.txt"), "c", None)],
    )
    message.attach_alternative(Lazy("<p>"), "text/html")
    assert message.send() == 1
    content = render(outbox[0])
    for part in (
        b"=?utf-8?b?SMOp?=",
        "body é".encode(),
        b"From: f@x",
        b"To: t@x",
        b"X-A: v",
        b'filename="n.txt"',
        b"<p>",
    ):
        assert part in content


@pytest.mark.parametrize("body", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_a_body_of_bytes_is_a_type_error(body):
    with pytest.raises(TypeError, match="decode"):
        mail.EmailMessage(body=body).message()


# --- attachments


def attached(message: mail.EmailMessage, place: int = -1) -> Message:
    parts = rendered(message).get_payload()
    assert isinstance(parts, list)
    part = parts[place]
    assert isinstance(part, Message)
    return part


@pytest.mark.parametrize(
    ("name", "content", "mimetype", "kind", "kept"),
    [
        ("a.txt", "é", None, "text/plain", "é"),
        ("a.txt", "é".encode(), None, "text/plain", "é"),
        ("a.txt", b"\xff", None, "application/octet-stream", b"\xff"),
        ("a.txt", b"\xff", "text/html", "application/octet-stream", b"\xff"),
        ("a.csv", b"x", "text/x-mine", "text/x-mine", "x"),
        ("a.pdf", b"%PDF", None, "application/pdf", b"%PDF"),
        ("a.unknown-type", b"x", None, "application/octet-stream", b"x"),
        ("noext", "x", None, "application/octet-stream", "x"),
        (None, b"x", None, "application/octet-stream", b"x"),
        (None, b"x", "image/png", "image/png", b"x"),
        (Path("dir/a.png"), b"x", None, "image/png", b"x"),
        ("a.txt", bytearray("é".encode()), None, "text/plain", "é"),
        ("a.txt", memoryview(b"\xff"), None, "application/octet-stream", memoryview(b"\xff")),
    ],
)
def test_an_attachments_type_is_guessed_and_text_is_decoded(name, content, mimetype, kind, kept):
    message = mail.EmailMessage()
    message.attach(name, content, mimetype)
    assert message.attachments == [(name and Path(name).name, kept, kind)]
    assert isinstance(message.attachments[0], mail.EmailAttachment)
    part = attached(message)
    assert part.get_content_type() == kind
    assert part.get_payload(decode=True) == (kept.encode() if isinstance(kept, str) else kept)


def test_a_mime_part_is_attached_as_it_is_and_alone():
    part = MIMEBase("image", "png")
    part["Content-ID"] = "<x@y>"
    part.set_payload("x")
    message = mail.EmailMessage(attachments=[part])
    assert message.attachments == [part]
    assert attached(message)["Content-ID"] == "<x@y>"
    for more in ({"content": b"x"}, {"mimetype": "image/png"}):
        with pytest.raises(ValueError, match="MIME part"):
            message.attach(part, **more)


def test_an_attachment_needs_content():
    with pytest.raises(ValueError, match="no content"):
        mail.EmailMessage().attach("a.txt")
    with pytest.raises(ValueError, match="no content"):
        mail.EmailMessage().attach("a.txt", mimetype="text/plain")


@pytest.mark.parametrize("mimetype", ["nonsense", "/x", "x/"])
def test_a_mimetype_without_two_halves_is_refused(mimetype):
    with pytest.raises(ValueError, match="type/subtype"):
        mail.EmailMessage().attach("a.txt", "x", mimetype)


NO_CONTENT = [1, 1.5, Message(), BytesIO(b"x"), Path("a.pdf"), {"a": 1}, [1], object()]


@pytest.mark.parametrize("content", NO_CONTENT)
def test_content_that_is_neither_text_nor_bytes_is_named(content):
    message = mail.EmailMessage(attachments=[("a.bin", content, "application/pdf")])
    with pytest.raises(TypeError, match="expected bytes or str"):
        message.message()


@pytest.mark.parametrize("content", [*NO_CONTENT, None, b"x"])
def test_what_is_no_text_becomes_no_text_part_and_no_body(content):
    attached, shown = mail.EmailMultiAlternatives("s", "b"), mail.EmailMultiAlternatives("s", "b")
    attached.attachments.append(mail.EmailAttachment("a.txt", content, "text/plain"))
    shown.alternatives.append(mail.EmailAlternative(content, "text/html"))
    for message in (attached, shown):
        with pytest.raises(TypeError, match="expected str"):
            message.message()
    if content:
        with pytest.raises(TypeError, match=r"the body is .* expected str"):
            mail.EmailMessage("s", content).message()


def test_a_modern_message_keeps_its_headers_inside_another():
    inner = ModernMessage()
    inner["To"] = "Jörg <a@x.example>"
    inner.set_content("x")
    inner.add_attachment(b"x", maintype="image", subtype="png", filename="löng.png")
    outer = mail.EmailMessage("s", "b", attachments=[("m.eml", inner, "message/rfc822")])
    parsed: Any = message_from_bytes(outer.message().as_bytes(), policy=policy.default)
    found = parsed.get_payload()[1].get_payload()[0]
    assert found["To"] == "Jörg <a@x.example>"
    assert [part.get_filename() for part in found.walk() if part.get_content_type() == "image/png"] == ["löng.png"]


def test_text_in_an_attachment_that_is_no_text_is_utf_8():
    message = mail.EmailMessage(attachments=[("a.json", '{"x": "日é"}', "application/json")])
    assert attached(message).get_payload(decode=True) == '{"x": "日é"}'.encode()


def test_bytes_like_content_is_carried():
    message = mail.EmailMessage(attachments=[("a", bytearray(b"a\0"), "image/x"), ("b", memoryview(b"b\0"), "image/x")])
    assert [attached(message, place).get_payload(decode=True) for place in (0, 1)] == [b"a\0", b"b\0"]


def test_a_file_is_attached_under_its_own_name(tmp_path):
    (tmp_path / "grüße.txt").write_text("hé", encoding="utf-8")
    (tmp_path / "x.bin").write_bytes(b"\xff\0")
    message = mail.EmailMessage()
    message.attach_file(str(tmp_path / "grüße.txt"))
    message.attach_file(tmp_path / "x.bin")
    message.attach_file(tmp_path / "x.bin", "text/plain")
    assert message.attachments == [
        ("grüße.txt", "hé", "text/plain"),
        ("x.bin", b"\xff\0", "application/octet-stream"),
        ("x.bin", b"\xff\0", "application/octet-stream"),
    ]
    assert attached(message, 0).get_filename() == "grüße.txt"
    with pytest.raises(FileNotFoundError):
        message.attach_file(tmp_path / "none")


@pytest.mark.parametrize("form", ["email", "stdlib", "modern", "str", "bytes"])
def test_a_message_is_attached_without_base64(form):
    inner: Any = mail.EmailMessage("inner é", "böd", "a@b", ["c@d"])
    if form == "stdlib":
        inner = message_from_bytes(render(inner))
    elif form == "modern":
        inner = ModernMessage()
        inner["Subject"] = "inner é"
        inner.set_content("böd", cte="8bit")
    elif form in ("str", "bytes"):
        inner = render(inner)
        inner = inner.decode() if form == "str" else inner
    message = mail.EmailMessage("outer", "b", attachments=[("x.eml", inner, "message/rfc822")])
    part = attached(message)
    assert part.get_content_type() == "message/rfc822"
    assert part["Content-Transfer-Encoding"] in (None, "8bit", "7bit")
    payload = part.get_payload()
    assert isinstance(payload, list)
    assert isinstance(payload[0], Message)
    body = payload[0].get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.rstrip() == "böd".encode()


def test_plain_tuples_may_be_put_into_attachments():
    message = mail.EmailMessage(body="b")
    message.attachments.append(("a.pdf", b"x"))
    assert attached(message).get_content_type() == "application/pdf"


def test_attachments_without_a_body_leave_no_empty_part():
    assert len(rendered(mail.EmailMessage(attachments=[("a", b"x", "image/png")])).get_payload()) == 1


# --- alternatives


def test_an_alternative_needs_content_and_type():
    message = mail.EmailMultiAlternatives()
    for wrong in ((None, "text/html"), ("x", None)):
        with pytest.raises(ValueError, match="both content and mimetype"):
            message.attach_alternative(*wrong)


def test_alternatives_are_named_tuples_inside_one_container():
    message = mail.EmailMultiAlternatives("s", "plain", alternatives=[("<p>", "text/html")])
    message.attach_alternative(b"x", "application/x")
    assert message.alternatives[0].content == "<p>"
    assert message.alternatives[1].mimetype == "application/x"
    top = rendered(message)
    assert top.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in top.get_payload()] == ["text/plain", "text/html", "application/x"]  # type: ignore[union-attr]


def test_body_contains_looks_at_the_body_and_every_text_alternative():
    message = mail.EmailMultiAlternatives("s", "I am content.", alternatives=[("<p>I am content.</p>", "text/html")])
    message.attach_alternative(b"binary", "application/x")
    assert message.body_contains("I am content") is True
    message.attach_alternative("other", "text/other")
    assert message.body_contains("I am content") is False
    assert mail.EmailMultiAlternatives(body="x").body_contains("y") is False


# --- charset


def test_the_default_charset_is_used_unless_the_message_has_its_own():
    with settings.override(DEFAULT_CHARSET="iso-8859-1"):
        message = mail.EmailMessage("Hé", "é")
        assert rendered(message).get_content_charset() == "iso-8859-1"
        assert message.message()["Subject"] == "=?iso-8859-1?q?H=E9?="
        message.encoding = "utf-8"
        assert rendered(message).get_content_charset() == "utf-8"


def test_an_encoding_may_be_a_charset_with_a_transfer_encoding_of_its_own():
    charset = Charset("utf-8")
    charset.body_encoding = QP
    message = mail.EmailMessage("s", "é" * 3)
    message.encoding = charset
    assert rendered(message)["Content-Transfer-Encoding"] == "quoted-printable"


def test_a_long_line_makes_the_body_quoted_printable():
    for body, encoding in (
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("é" * 499, "8bit"),
        ("é" * 500, "quoted-printable"),
    ):
        assert rendered(mail.EmailMessage(body=body))["Content-Transfer-Encoding"] == encoding


# --- copies


class Slotted(mail.EmailMessage):
    __slots__ = ("slot",)

    slot: Any


def test_what_a_subclass_keeps_in_slots_is_copied_and_pickled_too(outbox):
    message = Slotted("s", "b", None, ["a@x.example"])
    message.slot = ["x"]
    twins: list[Slotted] = [copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))]
    for twin in twins:
        assert twin.slot == ["x"]
    assert copy.deepcopy(message).slot is not message.slot
    message.send()
    assert outbox[0].slot == ["x"]


@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_a_generator_of_addresses_is_refused_where_it_would_be_empty_at_the_second_look(field, outbox):
    message = mail.EmailMessage("s", "b", None, ["a@x.example"])
    setattr(message, field, (each for each in ["b@x.example"]))
    with pytest.raises(TypeError, match=f"{field} is generator: expected a list or tuple"):
        message.send()
    assert outbox == []
    once: dict[str, Any] = {field: iter(["b@x.example"])}
    assert mail.EmailMessage(**once).recipients() == ["b@x.example"]


def test_an_address_may_be_a_pair_of_name_and_address():
    name = "Ann Bé, " + " ".join(["of a very long name"] * 5)
    message = mail.EmailMessage(
        "s", "b", ("Bob", "b@x.example"), [(name, "ann@bücher.example")], cc=[("", "c@x.example")]
    )
    shown = message_from_bytes(message.message().as_bytes(), policy=policy.default)
    assert str(shown["From"]) == "Bob <b@x.example>"
    assert str(shown["Cc"]) == "c@x.example"
    to = str(make_header(decode_header(message.message()["To"])))
    assert to.split() == [*name.split(), "<ann@xn--bcher-kva.example>"]
    for half in (("An\nn", "a@x.example"), ("Ann", "a\r@x.example")):
        with pytest.raises(mail.BadHeaderError):
            mail.EmailMessage("s", "b", None, [half]).message()


def test_a_message_can_be_pickled_and_copied_even_with_a_connection_that_cannot():
    class Connection:
        def __init__(self) -> None:
            self.lock = threading.Lock()

    connection = Connection()
    message = mail.EmailMultiAlternatives(
        "s", "b", "f@x", ["t@x"], connection=connection, attachments=[("a", b"x", "image/png"), MIMEText("t")]
    )
    message.attach_alternative("<p>", "text/html")
    message.encoding = Charset("utf-8")
    message.outcomes = {"t@x": Outcome(OutcomeClass.ACCEPTED)}
    message.extra_headers = {"Date": "d", "Message-ID": "<m@x>"}
    unpickled = pickle.loads(pickle.dumps(message))
    assert unpickled.connection is None
    assert unpickled.outcomes == message.outcomes
    deep = copy.deepcopy(message)
    assert deep.connection is connection
    deep.to.append("u@x")
    assert message.to == ["t@x"]
    assert copy.copy(message).connection is connection
    assert copy.copy(message).to is message.to
    assert sorted(vars(unpickled) | {"connection": None}) == sorted(vars(message))


def test_each_message_has_outcomes_of_its_own():
    one, other = mail.EmailMessage(), mail.EmailMessage()
    assert one.outcomes == {}
    assert one.outcomes is not other.outcomes
    assert one.mail_id is None


def test_the_names_of_the_page_are_public_at_both_places():
    for name in mail.__all__:
        assert hasattr(mail, name)
    for name in ("send_mail", "EmailMessage", "BadHeaderError", "SafeMIMEMessage", "mailers"):
        assert getattr(mailworker, name) is getattr(mail, name)
    assert mailworker.outbox is mail.outbox


def test_subclasses_may_build_on_the_methods_that_djangos_class_has():
    class Related(mail.EmailMultiAlternatives):
        def _create_alternatives(self, msg: Message) -> Message:
            built = super()._create_alternatives(msg)
            related = mail.SafeMIMEMultipart("related", encoding=self.encoding)
            related.attach(built)
            return related

    assert rendered(Related("s", "b", alternatives=[("<p>", "text/html")])).get_content_type() == "multipart/related"


def test_a_part_of_the_modern_api_goes_in_with_its_headers_intact() -> None:
    from email import message_from_bytes, policy
    from email.message import MIMEPart

    from mailworker.mail import EmailMessage
    from mailworker.mail.codec import Codec
    from mailworker.mail.render import render

    part = MIMEPart(policy=policy.default)
    part.set_content("zażółć", filename="ąę.txt", disposition="attachment", cid="<logo@example.com>")
    message = EmailMessage("s", "b", "a@example.com", ["b@example.com"], attachments=[part])
    for one in (message, Codec().decode(Codec().encode(message))):
        (attached,) = message_from_bytes(render(one), policy=policy.default).iter_attachments()
        assert attached.get_filename() == "ąę.txt"
        assert attached["Content-ID"] == "<logo@example.com>"
        assert attached.get_content().strip() == "zażółć"
