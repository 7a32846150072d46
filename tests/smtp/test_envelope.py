from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.smtp.envelope import Envelope, needs_smtputf8, why_not, xtext
from mailworker.smtp.offer import Offer


@pytest.mark.parametrize(
    "address", ["a@x.org", "postmaster", '"a b"@x.org', '"a>b"@x.org', r'"a\"b"@x.org', "a@[192.0.2.1]", "a+b@x"]
)
def test_an_address_between_angle_brackets_is_carried(address):
    assert why_not(address, smtputf8=False) == ""


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a@x.org>\r\nRCPT TO:<b@x.org",
        "a@x.org> SIZE=1",
        "a b@x.org",
        "a\x00@x.org",
        "a@x.org\n",
        '"a\r\n"@x.org',
        '"a@x.org',
    ],
)
def test_an_address_that_would_leave_its_brackets_is_not_carried(address):
    assert "cannot be written" in why_not(address, smtputf8=True)


def test_an_address_beyond_ascii_needs_smtputf8():
    assert needs_smtputf8("jörg@x.org")
    assert "SMTPUTF8" in why_not("jörg@x.org", smtputf8=False)
    assert why_not("jörg@x.org", smtputf8=True) == ""


def test_half_a_character_is_no_address():
    assert why_not("a\ud800@x.org", smtputf8=True) == "the address is no valid text"


def test_a_recipient_named_twice_is_one_recipient():
    assert Envelope("s@x.org", ("a@x.org", "b@x.org", "a@x.org")).recipients == ("a@x.org", "b@x.org")


def test_the_repr_of_an_envelope_shows_no_address():
    assert "@" not in repr(Envelope("s@x.org", ("a@x.org",)))


# Delivery status notifications (RFC 3461).

ASKED = Envelope("s@x.org", ("a@x.org",), ("SUCCESS", "FAILURE"), "HDRS", "0123abcd")
DSN = Offer(dsn=True)


def mail(envelope, offer=DSN):
    return envelope.mail(offer, b"", smtputf8=False)


def test_what_is_asked_for_is_said_where_it_is_offered():
    assert mail(ASKED) == b"MAIL FROM:<s@x.org> RET=HDRS ENVID=0123abcd\r\n"
    assert ASKED.rcpt(DSN, "a@x.org") == b"RCPT TO:<a@x.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@x.org\r\n"


def test_nothing_is_said_where_it_is_not_offered_or_not_asked_for():
    assert mail(ASKED, Offer()) == b"MAIL FROM:<s@x.org>\r\n"
    assert ASKED.rcpt(Offer(), "a@x.org") == b"RCPT TO:<a@x.org>\r\n"
    unasked = Envelope("s@x.org", ("a@x.org",), identifier="0123abcd")
    assert mail(unasked) == b"MAIL FROM:<s@x.org>\r\n"
    assert unasked.rcpt(DSN, "a@x.org") == b"RCPT TO:<a@x.org>\r\n"


def test_each_can_be_asked_for_alone():
    returned = Envelope("s@x.org", ("a@x.org",), returned="FULL", identifier="1")
    assert mail(returned) == b"MAIL FROM:<s@x.org> RET=FULL ENVID=1\r\n"
    assert returned.rcpt(DSN, "a@x.org") == b"RCPT TO:<a@x.org>\r\n"
    notified = Envelope("s@x.org", ("a@x.org",), notify=("NEVER",), identifier="1")
    assert mail(notified) == b"MAIL FROM:<s@x.org> ENVID=1\r\n"
    assert notified.rcpt(DSN, "a@x.org") == b"RCPT TO:<a@x.org> NOTIFY=NEVER ORCPT=rfc822;a@x.org\r\n"


@pytest.mark.parametrize("identifier", ["", "x" * 101, "\u00fcnique", "two\nlines", "a\x00b", "\ud800"])
def test_an_identifier_that_no_notification_could_carry_is_left_out(identifier):
    assert mail(Envelope("s@x.org", (), ("NEVER",), "", identifier)) == b"MAIL FROM:<s@x.org>\r\n"


@pytest.mark.parametrize("identifier", ["x" * 100, "a b", "1+1=2", '"<>"', "a@b"])
def test_an_identifier_that_a_notification_can_carry_is_one_word(identifier):
    line = mail(Envelope("s@x.org", (), ("NEVER",), "", identifier))
    words = line.removesuffix(b"\r\n").split(b" ")
    assert words[:2] == [b"MAIL", b"FROM:<s@x.org>"]
    assert words[2:] == [b"ENVID=" + xtext(identifier)]


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        ("a+b=c@x.org", b" ORCPT=rfc822;a+2Bb+3Dc@x.org"),
        ('"a b"@x.org', b' ORCPT=rfc822;"a+20b"@x.org'),
        ("j\u00f6rg@x.org", b""),
        ("x" * 500 + "@x.org", b""),
    ],
)
def test_the_original_recipient_is_said_in_xtext_if_it_can_be(recipient, shown):
    line = Envelope("s@x.org", (recipient,), ("DELAY",)).rcpt(DSN, recipient)
    assert line == b"RCPT TO:<" + recipient.encode() + b"> NOTIFY=DELAY" + shown + b"\r\n"


@given(st.text())
def test_xtext_is_one_word_that_says_the_text(text):
    encoded = xtext(text)
    assert re.fullmatch(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    decoded = re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), encoded)
    assert decoded == text.encode("utf-8", "replace")


@given(st.text(), st.text(), st.text())
def test_whatever_stands_in_it_an_envelope_says_one_command(notify, returned, identifier):
    envelope = Envelope("s@x.org", ("a@x.org",), (notify,), returned, identifier)
    for line in (mail(envelope), envelope.rcpt(DSN, "a@x.org")):
        assert re.fullmatch(rb"(?:MAIL FROM|RCPT TO):<[as]@x\.org>(?: [A-Z]+=[!-~]*)*\r\n", line)
