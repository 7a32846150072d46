"""Answers as large providers give them, of which some are about us and others about one recipient or the moment."""

from __future__ import annotations

import pytest

from mailworker.delivery import block
from mailworker.outcome import Outcome, OutcomeClass, Reply

ABOUT_US = [
    Reply(
        550,
        "[203.0.113.7 12] Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam sent to "
        "Gmail, this message has been blocked.",
        "5.7.1",
    ),
    Reply(
        550,
        "Unfortunately, messages from [203.0.113.7] weren't sent. Please contact your Internet service provider since part of their "
        "network is on our block list (S3140).",
        "5.7.1",
    ),
    Reply(554, "Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org", "5.7.1"),
    Reply(
        553, "[BL21] Connections will not be accepted from 203.0.113.7, because the ip is in Spamhaus's list", "5.7.1"
    ),
    Reply(554, "Message not accepted for policy reasons. See https://postmaster.example.com/error-codes", "5.7.9"),
    Reply(550, "The IP you're using to send mail is not authorized, has a poor reputation", "5.7.1"),
    Reply(554, "Sending paused for this account. For more information, please check the inbox"),
    Reply(554, "blacklisted"),
    Reply(550, "Message rejected as spam by Content Filtering.", "5.7.1"),
    Reply(521, "Your host has been banned"),
]

NOT_ABOUT_US = [
    Reply(550, "The email account that you tried to reach does not exist.", "5.1.1"),
    Reply(552, "The email account that you tried to reach is over quota; see blocked mailboxes", "5.2.2"),
    Reply(550, "Mailbox is blocked by its owner", "5.2.1"),
    Reply(550, "User unknown"),
    Reply(554, "Transaction failed"),
    Reply(550, "Sender not allowed to send to this group", "5.7.133"),
    Reply(421, "Too many connections, try again later; spam?", "4.7.0"),
    Reply(450, "Greylisted, see blocklist", "4.2.0"),
    Reply(550, "No spamming hamster lives here, roadblock ahead"),
]


def rejected(reply: Reply) -> Outcome:
    return Outcome(OutcomeClass.REJECTED, reply)


@pytest.mark.parametrize("reply", ABOUT_US, ids=lambda reply: reply.text[:40])
def test_what_is_about_us_is_told_from_the_rest(reply: Reply):
    found = block.refusal([rejected(Reply(550, "no such user", "5.1.1")), rejected(reply)])
    assert found is not None
    assert found.startswith(str(reply.code))


@pytest.mark.parametrize("reply", NOT_ABOUT_US, ids=lambda reply: reply.text[:40])
def test_what_is_about_a_recipient_or_the_moment_stops_nothing(reply: Reply):
    assert block.refusal([rejected(reply)]) is None


def test_only_what_was_refused_for_good_counts():
    assert block.refusal([Outcome(OutcomeClass.ACCEPTED, Reply(250, "no spam found"))]) is None
    assert block.refusal([Outcome(OutcomeClass.REJECTED, None, "spam")]) is None
    assert block.refusal([]) is None


def test_what_it_says_has_no_address_and_an_end():
    found = block.refusal([rejected(Reply(554, "mail from <shop@example.com> is spam " + "x" * 500, "5.7.1"))])
    assert found is not None
    assert "example.com" not in found
    assert found.startswith("554 5.7.1 mail from")
    assert len(found) < 230
