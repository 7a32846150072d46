"""How a transaction begins: who is named in it, and which commands go out together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.outcome import OutcomeClass
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.offer import Offer
from mailworker.smtp.opening import DATA, MAIL, MAX_GROUP, MAX_OCTETS, Opening

SENDER = "sender@example.com"
PIPELINING = Offer(pipelining=True)


def many(number, length=12):
    return tuple(f"{n:0{length - 10}d}@example.o" for n in range(number))


def opening(*recipients, offer=PIPELINING, sender=SENDER, content=b"x\r\n"):
    return Opening(offer, Envelope(sender, recipients), content)


def names(one):
    return [[about for about, _ in group] for group in one.groups]


def test_the_whole_envelope_is_one_group_where_pipelining_is_offered():
    one = opening("a@x.org", "b@x.org")
    assert names(one) == [[MAIL, "a@x.org", "b@x.org", DATA]]
    assert one.is_one_group
    assert one.together() == (b"MAIL FROM:<sender@example.com>\r\nRCPT TO:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\n")


def test_each_command_is_a_group_of_its_own_where_it_is_not():
    one = opening("a@x.org", "b@x.org", offer=Offer())
    assert names(one) == [[MAIL], ["a@x.org"], ["b@x.org"], [DATA]]
    assert not one.is_one_group


def test_two_hundred_and_fifty_recipients_are_three_groups():
    recipients = many(250)
    one = opening(*recipients)
    assert names(one) == [[MAIL, *recipients[:99]], [*recipients[99:199]], [*recipients[199:], DATA]]
    assert not one.is_one_group


def test_long_addresses_make_shorter_groups():
    one = opening(*many(60, length=200))
    assert not one.is_one_group
    assert [len(group) for group in one.groups] == [20, 19, 19, 4]
    assert all(sum(len(command) for _, command in group) <= MAX_OCTETS for group in one.groups)


def test_one_command_longer_than_a_group_is_a_group_of_its_own():
    long = "x" * 2 * MAX_OCTETS + "@x.org"
    assert names(opening("a@x.org", long, "b@x.org")) == [[MAIL, "a@x.org"], [long], ["b@x.org", DATA]]
    assert names(opening(long)) == [[MAIL], [long], [DATA]]
    assert names(opening("a@x.org", sender=long)) == [[MAIL], ["a@x.org", DATA]]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=300))
def test_groups_hold_all_commands_in_order_within_their_bounds_and_data_last(lengths):
    recipients = [f"{n}{'x' * length}@x.org" for n, length in enumerate(lengths)]
    groups = opening(*recipients).groups
    commands = [command for group in groups for command in group]
    assert [about for about, _ in commands] == [MAIL, *recipients, DATA]
    assert commands[-1][1] == b"DATA\r\n"
    for group in groups:
        assert 1 <= len(group) <= MAX_GROUP
        assert len(group) == 1 or sum(len(command) for _, command in group) <= MAX_OCTETS
        assert DATA not in [about for about, _ in group[:-1]], "nothing may stand behind DATA (RFC 2920 §3.1)"


@given(st.lists(st.integers(1, 3000), min_size=2, max_size=100))
def test_no_two_neighbouring_groups_would_fit_into_one(lengths):
    groups = opening(*(f"{n}{'x' * length}@x.org" for n, length in enumerate(lengths))).groups
    for group, following in pairwise(groups):
        first = len(following[0][1])
        assert len(group) == MAX_GROUP or sum(len(command) for _, command in group) + first > MAX_OCTETS


def test_whoever_cannot_be_named_is_rejected_and_the_others_are_named():
    one = opening("a@x.org", "b b@x.org", "jörg@x.org")
    assert names(one) == [[MAIL, "a@x.org", DATA]]
    assert {who: outcome.kind for who, outcome in one.outcomes.items()} == dict.fromkeys(
        ["b b@x.org", "jörg@x.org"], OutcomeClass.REJECTED
    )
    assert one.open_recipients() == ["a@x.org"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sender": "a b@x.org"}, "sender: the address cannot be written"),
        ({"sender": "jörg@x.org"}, "sender: the address is not ASCII"),
        ({"offer": Offer(pipelining=True, size=True, size_limit=2)}, "has 3 octets, and the relay takes 2"),
    ],
)
def test_an_envelope_that_names_nobody_has_no_commands(changes, words):
    one = opening("a@x.org", "b@x.org", **changes)
    assert one.groups == ()
    assert not one.is_one_group
    assert one.together() == b""
    assert one.open_recipients() == []
    assert all(words in outcome.text for outcome in one.outcomes.values())


def test_the_content_is_what_goes_on_the_wire():
    one = opening("a@x.org", content=b"a\nb\rc", offer=Offer(size=True))
    assert one.content == b"a\r\nb\r\nc\r\n"
    assert one.groups[0][0][1] == b"MAIL FROM:<sender@example.com> SIZE=9\r\n"


def test_smtputf8_is_said_if_an_address_needs_it_and_it_is_offered():
    offer = Offer(pipelining=True, smtputf8=True)
    assert b"SMTPUTF8" not in opening("a@x.org", offer=offer).together()
    said = opening("a@x.org", "jörg@x.org", offer=offer).together()
    assert said.startswith(b"MAIL FROM:<sender@example.com> SMTPUTF8\r\n")
    assert "RCPT TO:<jörg@x.org>\r\n".encode() in said
    assert b" SMTPUTF8\r\n" in opening("a@x.org", sender="jörg@x.org", offer=offer).together()


def test_smtputf8_is_said_for_a_header_in_utf_8_too_where_it_is_offered():
    message = "Subject: Grüße\r\n\r\nbody\r\n".encode()
    offer = Offer(pipelining=True, smtputf8=True, eight_bit=True)
    said = opening("a@x.org", content=message, offer=offer).together()
    assert said.startswith(b"MAIL FROM:<sender@example.com> BODY=8BITMIME SMTPUTF8\r\n")
    less = Offer(pipelining=True, eight_bit=True)
    assert b"SMTPUTF8" not in opening("a@x.org", content=message, offer=less).together()
    body = "Subject: x\r\n\r\nGrüße\r\n".encode()
    assert b"SMTPUTF8" not in opening("a@x.org", content=body, offer=offer).together()
