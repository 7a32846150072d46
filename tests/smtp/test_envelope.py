from __future__ import annotations

import pytest

from mailworker.smtp.envelope import Envelope, needs_smtputf8, why_not


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
