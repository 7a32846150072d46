from __future__ import annotations

import copy
from email import message_from_bytes, policy
from email.charset import Charset
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.text import MIMEText
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailworker import mail
from mailworker.errors import BadHeaderError, InvalidAddress
from mailworker.mail.check import check_headers, check_message
from mailworker.mail.render import render

BREAKS = ("a\nBcc: x@y", "a\r\nBcc: x@y", "a\rBcc: x@y", "a\n", "\ra", "a\0b")
#: Where Python's email package begins a new line by itself.
splits = pytest.mark.parametrize("broken", ["a\x0bBcc", "a\x0cb", "a\x1cb", "a\x1db", "a\x1eb"])


def bad_messages(broken: str) -> dict[str, mail.EmailMultiAlternatives]:
    def message(**kwargs: Any) -> mail.EmailMultiAlternatives:
        return mail.EmailMultiAlternatives(**{"to": ["a@b.example"], "body": "x", **kwargs})

    part = MIMEBase("image", "png")
    part["Content-ID"] = broken
    text = MIMEText("x")
    text[broken] = "x"
    inner = Message()
    inner["Subject"] = broken
    subtype = message()
    subtype.content_subtype = broken
    return {
        "subject": message(subject=broken),
        "from_email": message(from_email=f"x@y {broken}"),
        "to": message(to=["ok@b.example", broken]),
        "cc": message(cc=[broken]),
        "bcc": message(bcc=[broken]),
        "reply_to": message(reply_to=[broken]),
        "header value": message(headers={"X-Foo": broken}),
        "header name": message(headers={broken: "x"}),
        "From in headers": message(headers={"From": broken}),
        "bcc in headers": message(headers={"Bcc": broken}),
        "attachment name": message(attachments=[(broken, b"x", "image/png")]),
        "attachment type": message(attachments=[("x", b"x", f"image/{broken}")]),
        "text attachment type": message(attachments=[("x", "x", f"text/{broken}")]),
        "alternative type": message(alternatives=[("x", f"text/{broken}")]),
        "content id": message(attachments=[part]),
        "part's header name": message(attachments=[text]),
        "inner message": message(attachments=[("x.eml", inner, "message/rfc822")]),
        "inner email": message(attachments=[("x.eml", mail.EmailMessage(broken), "message/rfc822")]),
        "body's type": subtype,
    }


FROM_PARTS = ("content id", "inner message", "part's header name")
FIELDS = sorted(bad_messages("a\nb"))


@pytest.mark.parametrize(
    ("field", "broken"),
    # A NUL ends no line, and a part that was parsed may hold one.
    [(field, broken) for field in FIELDS for broken in BREAKS if "\0" not in broken or field not in FROM_PARTS],
)
def test_a_line_break_in_a_header_is_refused_before_anything_is_sent(field, broken, outbox):
    message = bad_messages(broken)[field]
    for attempt in (lambda: check_message(message), message.message, message.send, lambda: render(message)):
        with pytest.raises(BadHeaderError) as caught:
            attempt()
        assert isinstance(caught.value, ValueError)
        assert "Bcc: x@y" not in str(caught.value)
    with pytest.raises(BadHeaderError):
        message.send(fail_silently=True)
    assert outbox == []


@splits
@pytest.mark.parametrize("field", FIELDS)
def test_a_character_at_which_the_email_package_splits_lines_is_refused(field, broken):
    message = bad_messages(broken)[field]
    with pytest.raises(BadHeaderError):
        check_headers(message)
    with pytest.raises(BadHeaderError):
        message.message()


@pytest.mark.parametrize("name", ["", " ", "X Foo", "X-Foo:", "X-Föö", "X\tFoo", "X\x7f", "X-Foo\u2028"])
def test_a_header_name_is_what_rfc_5322_allows(name):
    message = mail.EmailMessage(to=["a@b.example"], headers={name: "x"})
    with pytest.raises(BadHeaderError, match="header name"):
        message.send()


@pytest.mark.parametrize("name", [" ", "X Foo", "X-Foo:", "X-F\u00f6\u00f6", "X\0Foo", "X\x7f"])
def test_so_is_the_header_name_of_a_part_that_the_caller_built(name, outbox):
    part = MIMEBase("image", "png")
    part.set_payload("xx")
    part[name] = "x"
    message = mail.EmailMessage(to=["a@b.example"], attachments=[part])
    with pytest.raises(BadHeaderError, match="header name"):
        message.send()
    assert outbox == []


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=20))
def test_every_name_that_rfc_5322_allows_is_taken(name):
    if name.lower() in ("content-type", "content-transfer-encoding", "mime-version"):
        return
    check_headers(mail.EmailMessage(headers={name: "x"}))


@pytest.mark.parametrize("name", ["Content-Type", "content-TYPE", "Content-Transfer-Encoding"])
def test_a_header_that_follows_from_the_body_is_refused_not_doubled(name):
    with pytest.raises(BadHeaderError, match="follows from the body"):
        mail.EmailMessage(headers={name: "text/html"}).message()


anything = st.one_of(st.text(max_size=40), st.text("a:b \t\r\n\0\x0b\x0c\x1c\x1d\x1e\x85\u2028é", max_size=20))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    subject=anything,
    sender=anything,
    to=anything,
    value=anything,
    filename=anything,
    cid=anything,
    encoding=st.sampled_from([None, "iso-8859-1", "us-ascii", "utf-16", "raw"]),
)
def test_whatever_is_put_into_headers_no_header_is_added_and_none_is_broken(
    subject, sender, to, value, filename, cid, encoding
):
    part = MIMEBase("image", "png")
    part.set_payload("xx")
    part["Content-ID"] = cid
    message = mail.EmailMessage(
        subject,
        "the body\n",
        sender,
        [to],
        headers={"X-Value": value, "Date": "now", "Message-ID": "<a@b>"},
        attachments=[(filename, b"x", "image/png"), part],
    )
    if encoding == "raw":
        charset = Charset("utf-8")
        charset.header_encoding = None  # type: ignore[assignment]
        message.encoding = charset
    else:
        message.encoding = encoding
    try:
        content = render(message)
    except (BadHeaderError, InvalidAddress, UnicodeError):
        return
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert b"\r" not in content.replace(b"\r\n", b"")
    parsed = message_from_bytes(content)
    assert sorted(parsed.keys()) == sorted(
        [
            "Content-Type",
            "MIME-Version",
            "Subject",
            "From",
            *(["To"] if to or message.to else []),
            "Date",
            "Message-ID",
            "X-Value",
        ]
    )
    parts = list(parsed.walk())[1:]
    assert len(parts) == 3
    assert [sorted(each.keys()) for each in parts][2] == ["Content-ID", "Content-Type", "MIME-Version"]
    if encoding is None:
        assert parts[0].get_payload() == "the body\r\n"


def test_a_folded_header_of_an_attached_message_is_left_alone():
    source = b"Subject: one\n two\nX-Y: a\n\tb\n\nbody"
    message = mail.EmailMessage(to=["a@b.example"], body="x")
    message.attach("x.eml", message_from_bytes(source), "message/rfc822")
    message.attach("y.eml", source, "message/rfc822")
    check_message(message)
    assert render(message).count(b"Subject: one\r\n two\r\n") == 2


class Lazy:
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def test_a_lazy_value_is_looked_into():
    with pytest.raises(BadHeaderError):
        mail.EmailMessage(Lazy("a\nb"), to=["a@b.example"]).send()


def test_what_is_put_on_a_safe_part_is_checked():
    for part in (mail.SafeMIMEText("x"), mail.SafeMIMEMultipart(), mail.SafeMIMEMessage(Message())):
        with pytest.raises(BadHeaderError):
            part["X-Foo"] = "a\rb"
        with pytest.raises(BadHeaderError):
            part["X\nFoo"] = "ab"


def test_a_charset_that_leaves_headers_raw_does_not_let_a_line_break_through():
    charset = Charset("utf-8")
    charset.header_encoding = None  # type: ignore[assignment]
    for value in ("é\x0bBcc", "é\u2028Bcc", "é\x85body"):
        with pytest.raises(BadHeaderError):
            mail.forbid_multi_line_headers("X-Foo", value, charset)
    assert mail.forbid_multi_line_headers("X-Foo", "é", charset) == ("X-Foo", "é")


def test_every_address_of_a_field_is_looked_at_although_another_one_gets_encoded():
    several = "é <a@x.example>, b\x0bBcc <b@x.example>"
    with pytest.raises(BadHeaderError):
        mail.forbid_multi_line_headers("To", several, "utf-8")
    with pytest.raises(BadHeaderError):
        check_headers(mail.EmailMessage(to=[several]))
    with pytest.raises(BadHeaderError):
        check_headers(mail.EmailMessage(headers={"Reply-To": several}))


def test_forbid_multi_line_headers_encodes_with_the_default_charset():
    assert mail.forbid_multi_line_headers("Subject", "é", None) == ("Subject", "=?utf-8?b?w6k=?=")
    assert mail.forbid_multi_line_headers("To", "é <a@b>", "iso-8859-1") == ("To", "=?iso-8859-1?q?=E9?= <a@b>")


def test_the_check_of_the_envelope_happens_in_the_caller():
    for wrong in (
        {"to": ["not an address"]},
        {"bcc": ["a@x> NOTIFY=NEVER"]},
        {"from_email": "a b c", "to": ["a@b.example"]},
    ):
        with pytest.raises(InvalidAddress):
            check_message(mail.EmailMessage(**wrong))


def _appended(*attachment: Any) -> mail.EmailMessage:
    message = mail.EmailMessage("s", "b", None, ["a@b.example"])
    message.attachments.append(attachment)
    return message


def _encoded(encoding: Any, **fields: Any) -> mail.EmailMessage:
    message = mail.EmailMessage("s", to=["a@b.example"], **fields)
    message.encoding = encoding
    return message


UNSENDABLE = {
    "bytes as text": (_appended("a.txt", b"x", "text/plain"), TypeError, "is bytes"),
    "a type that is none": (_appended("a", "b", "nonsense"), ValueError, "type/subtype"),
    "an attachment of one": (_appended("a"), TypeError, "an attachment is tuple of 1"),
    "an attachment that is none": (_appended(*"abcd"), TypeError, "an attachment is tuple of 4"),
    "a name in Reply-To": (mail.EmailMessage(to=["a@b.example"], reply_to=["Jörg"]), InvalidAddress, "Jörg"),
    "a Sender that is none": (mail.EmailMessage(headers={"Sender": "é <@>"}), InvalidAddress, "address"),
    "nested brackets": (mail.EmailMessage(reply_to=["(" * 1900 + "é"]), InvalidAddress, "address"),
    "a letter that ASCII has not": (_encoded("us-ascii", body="é"), UnicodeEncodeError, "ascii"),
    "a letter that Latin-1 has not": (_encoded(Charset("latin-1"), body="ж"), UnicodeEncodeError, "ordinal"),
    "no headers": (mail.EmailMessage(), TypeError, "extra_headers is NoneType"),
    "an alternative of one": (mail.EmailMultiAlternatives(), TypeError, "an alternative is tuple of 1"),
    "bytes as HTML": (mail.EmailMultiAlternatives(alternatives=[(b"x", "text/html")]), TypeError, "is bytes"),
    "itself": (mail.EmailMessage(), ValueError, "to themselves"),
}
UNSENDABLE["no headers"][0].extra_headers = None  # type: ignore[assignment]
UNSENDABLE["an alternative of one"][0].alternatives = [("x",)]  # type: ignore[attr-defined]
UNSENDABLE["itself"][0].attachments.append(("m.eml", UNSENDABLE["itself"][0], "message/rfc822"))


@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_could_only_become_a_dead_letter_is_told_in_the_caller(what):
    message, error, says = UNSENDABLE[what]
    with pytest.raises(error, match=says) as caught:
        check_message(message)
    assert "\n" not in str(caught.value)


def test_a_header_that_only_the_email_package_sees_break_is_a_bad_header_too():
    class Own(mail.EmailMessage):
        def message(self) -> Any:
            built = Message()
            built["Subject"] = "secret\nBcc: x@y"
            return built

    with pytest.raises(BadHeaderError, match="line break") as caught:
        render(Own(to=["a@b.example"]))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["nonsense", "utf-99", "é"])
def test_a_charset_that_does_not_exist_is_named_in_the_caller(encoding):
    message = mail.EmailMessage(to=["a@b.example"])
    message.encoding = encoding
    with pytest.raises(LookupError, match=encoding):
        check_message(message)


def test_a_message_that_is_all_right_passes_the_check_unchanged_and_can_be_rendered():
    message = mail.EmailMultiAlternatives(
        "Привет",
        "b",
        "Иван <i@bücher.example>",
        ["a@b.example"],
        headers={"X-A": "Привет\u2028"},
        attachments=[("é\x85.txt", "x", None)],
    )
    before = copy.deepcopy(vars(message))
    check_message(message)
    assert vars(message) == before
    rendered = message_from_bytes(render(message), policy=policy.default)
    assert (rendered["Subject"], rendered["To"]) == ("Привет", "a@b.example")
    assert rendered["From"] == "Иван <i@xn--bcher-kva.example>"
    message.extra_headers = {"X-A": "Привет"}
    message.encoding = Charset("koi8-r")
    check_message(message)
    assert b"\r\nX-A: =?koi8-r?b?8NLJ18XU?=\r\n" in render(message)
