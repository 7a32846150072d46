from __future__ import annotations

import tracemalloc
from email import message_from_bytes, policy
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker import mail
from mailworker.mail.render import render
from mailworker.mail.seven_bit import is_7bit, is_8bit_clean, to_7bit


def leaves(content: bytes) -> list[tuple[Any, ...]]:
    """Every part with its headers but the transfer encoding, and its decoded content."""
    found = []
    for part in message_from_bytes(content, policy=policy.compat32).walk():
        headers = [(name, value) for name, value in part.items() if name.lower() != "content-transfer-encoding"]
        found.append((headers, None if part.is_multipart() else part.get_payload(decode=True)))
    return found


def message(**kwargs: Any) -> mail.EmailMultiAlternatives:
    headers = {"Date": "d", "Message-ID": "<m@x>", **kwargs.pop("headers", {})}
    return mail.EmailMultiAlternatives("Hé", **{"to": ["a@b.example"], "headers": headers, **kwargs})


def test_what_is_seven_bit_already_stays_byte_for_byte():
    content = render(message(body="plain\n.\n" + "x" * 998))
    assert is_7bit(content)
    assert to_7bit(content) is content


def test_text_becomes_quoted_printable_and_other_scripts_base64():
    for body, encoding in (("mostly ASCII, é\n" * 20, b"quoted-printable"), ("日本語テキスト\n" * 20, b"base64")):
        content = render(message(body=body))
        fit = to_7bit(content)
        assert b"Content-Transfer-Encoding: 8bit" in content
        assert b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n" in fit
        assert is_7bit(fit)
        assert leaves(fit) == leaves(content)


@settings(deadline=None)
@given(
    body=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=300),
    html=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=300),
    text=st.text("é=. \tx\n", max_size=200),
    deep=st.booleans(),
)
def test_every_part_holds_the_same_after_it_was_made_to_fit(body, html, text, deep):
    inner = mail.EmailMessage("inné", text, "a@b", ["c@d"], headers={"Date": "d", "Message-ID": "<i@x>"})
    if deep:
        inner = mail.EmailMessage("mid", "é", "a@b", ["c@d"], attachments=[("i.eml", inner, "message/rfc822")])
        inner.extra_headers = {"Date": "d", "Message-ID": "<j@x>"}
    content = render(
        message(
            body=body,
            alternatives=[(html, "text/html")],
            attachments=[
                ("é.txt", text, None),
                ("x.bin", body.encode(), "application/x"),
                ("i.eml", inner, "message/rfc822"),
            ],
        )
    )
    fit = to_7bit(content)
    assert is_7bit(fit)
    assert b"\n" not in fit.replace(b"\r\n", b"")
    assert leaves(fit) == leaves(content)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"\r\n",
                b"--b",
                b"--b--",
                b" ",
                b"Content-Type: ",
                b"multipart/mixed; boundary=b",
                b"multipart/mixed; boundary*0*=b; boundary*=utf-8''b",
                b"message/rfc822",
                b"text/plain",
                b"\xff",
                b"x",
                b"Content-Transfer-Encoding: ",
                b"8bit",
                b"base64",
                b"quoted-printable",
                b"=",
                b"\r",
                b"\n",
                b"\0",
                b"x" * 1000,
            ]
        ),
        max_size=40,
    )
)
def test_no_bytes_make_it_fail_or_add_what_a_server_may_not_take_and_a_second_time_changes_nothing(pieces):
    content = b"".join(pieces)
    fit = to_7bit(content)
    assert fit == content or not is_7bit(content)
    assert {octet for octet in fit if octet in (0, 255)} <= set(content)
    assert to_7bit(fit) == fit


@pytest.mark.parametrize(
    ("body", "encoding", "encoded"),
    [("é", b"base64", b"w6k=\r\n"), ("Café au lait", b"quoted-printable", b"Caf=C3=A9 au lait")],
)
def test_headers_boundaries_and_parts_that_fit_are_not_touched(body, encoding, encoded):
    content = render(
        message(
            body=body,
            alternatives=[("<p>plain</p>", "text/html")],
            headers={"X-Long": "word " * 60, "List-Id": "<x>"},
            attachments=[("a.png", b"\0\1\2" * 100, "image/png")],
        )
    )
    field, text = b"Content-Transfer-Encoding: ", body.encode()
    was, now = field + b"8bit\r\n\r\n" + text, field + encoding + b"\r\n\r\n" + encoded
    assert content.count(was) == 1
    assert to_7bit(content) == content.replace(was, now)


def test_a_content_id_stays():
    part = MIMEBase("image", "svg+xml")
    part["Content-ID"] = "<logo@x>"
    part["Content-Transfer-Encoding"] = "8bit"
    part.set_payload("<svg>é</svg>".encode().decode("ascii", "surrogateescape"))
    content = render(message(body="x", attachments=[part]))
    fit = to_7bit(content)
    assert b"\xc3\xa9" in content
    assert is_7bit(fit)
    assert b"Content-ID: <logo@x>\r\n" in fit
    assert leaves(fit)[-1][1] == "<svg>é</svg>".encode()


def test_signed_and_encrypted_parts_are_never_touched():
    for kind in ("signed", "encrypted"):
        signed = MIMEMultipart(kind, boundary="sig")
        text = MIMEText("x", "plain", "utf-8")
        del text["Content-Transfer-Encoding"]
        text["Content-Transfer-Encoding"] = "8bit"
        text.set_payload("é".encode().decode("ascii", "surrogateescape"))
        signed.attach(text)
        mixed = MIMEMultipart("mixed", boundary="mix")
        mixed.attach(signed)
        mixed.attach(MIMEText("x" * 999))
        content = mixed.as_bytes(policy=policy.compat32.clone(linesep="\r\n"))
        fit = to_7bit(content)
        start, end = content.index(b"--sig"), content.index(b"--sig--")
        assert content[start:end] in fit
        assert b"quoted-printable" in fit
        assert not is_7bit(fit)


def test_a_container_does_not_claim_eight_bits_that_are_gone():
    content = (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"pre\xe9amble\r\n--b\r\n\r\n\xc3\xa9\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n--b--\r\nepi\xe9logue"
    )
    fit = to_7bit(content)
    assert is_7bit(fit)
    assert b"8bit" not in fit
    assert fit.count(b"Content-Transfer-Encoding: 7bit") == 2
    assert leaves(fit)[1][1] == leaves(content)[1][1]


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: x\r\n\r\n" + b"x" * 999,
        b"\r\n\xc3\xa9",
        b"Subject: x\r\n\r\n\xc3\xa9\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=C3=A9" * 200,
        b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"AAAA" * 300,
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding:\r\n binary\r\n\r\na\0b",
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n\xff",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n\xff\r\n--b",
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\n\xff\r\n--b--\r\n",
    ],
)
def test_long_lines_and_odd_structures_are_made_to_fit(content):
    fit = to_7bit(content)
    assert is_7bit(fit)
    assert [part[1] for part in leaves(fit)] == [part[1] for part in leaves(content)]


def test_what_cannot_be_made_to_fit_stays_as_it_is():
    for content in (
        b"Subject: \xc3\xa9\r\n\r\nx",
        b"Content-Type: message/partial\r\n\r\n\xff",
        b"Content-Type: multipart/mixed\r\n\r\n\xff",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno delimiter \xff",
        b"Content-Transfer-Encoding: base64\r\n\r\n\xffA",
    ):
        assert not is_7bit(content)
        assert to_7bit(content) == content


@pytest.mark.parametrize("content", [b"\xff", b"a\0b", b"x" * 999, b"a\r\n" + b"x" * 999 + b"\r\n"])
def test_what_not_every_server_takes_is_not_seven_bit(content):
    assert not is_7bit(content)


def line_by_line(content: bytes) -> bool:
    return b"\0" not in content and all(len(line) <= 998 for line in content.split(b"\r\n"))


@pytest.mark.parametrize(
    "before", [b"", b"\r\n", b"x" * 998 + b"\r\n", b"\n" * 998 + b"\r\n", (b"x" * 76 + b"\r\n") * 40]
)
@pytest.mark.parametrize("after", [b"", b"\r", b"\n", b"\r\n", b"\n\r\n", b"\r\r\n", b"\r\nx", b"\r\n" + b"y" * 999])
def test_a_line_is_what_stands_between_two_crlf(before, after):
    for size in (0, 1, 996, 997, 998, 999, 1000, 1001, 2000):
        content = before + b"x" * size + after
        assert is_8bit_clean(content) == line_by_line(content)


@given(
    st.lists(
        st.sampled_from([b"\r\n", b"\r", b"\n", b"x" * 498, b"y" * 499, b"z" * 500, b"x" * 998, b"\xff"]), max_size=30
    ).map(b"".join)
)
def test_lines_are_measured_as_if_each_was_looked_at(content):
    assert is_8bit_clean(content) == line_by_line(content)


def test_long_content_is_not_split_into_its_lines():
    content = b"\r\n" * 500_000
    tracemalloc.start()
    try:
        assert is_8bit_clean(content)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 10_000


def test_a_part_whose_parameters_the_standard_library_fails_over_stays_as_it_is_and_the_others_are_converted():
    odd = b"Content-Type: multipart/mixed; boundary*0*=x; boundary*=utf-8''ab\r\n\r\n--x\r\n\r\n\xc3\xa9\r\n--x--\r\n"
    plain = b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa9\r\n"
    assert to_7bit(odd) == odd
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
    fit = to_7bit(head + b"--o\r\n" + odd + b"--o\r\n" + plain + b"--o--\r\n")
    assert odd in fit
    assert plain not in fit
    assert fit.count(b"\xc3\xa9") == 1
