from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.outcome import Reply
from mailworker.smtp import reply as replies


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"250 fine"], Reply(250, "fine")),
        ([b"250"], Reply(250)),
        ([b"250 "], Reply(250)),
        ([b"450 4.2.0 mailbox busy"], Reply(450, "mailbox busy", "4.2.0")),
        ([b"550 5.1.1"], Reply(550, "", "5.1.1")),
        ([b"550-5.7.1 no", b"550-5.7.1 really", b"550 5.7.1 no"], Reply(550, "no really no", "5.7.1")),
        ([b"550 4.2.0 of another class"], Reply(550, "4.2.0 of another class")),
        ([b"354 go\tahead  now"], Reply(354, "go ahead now")),
    ],
)
def test_a_reply_is_its_code_its_enhanced_code_and_its_text(lines, expected):
    assert replies.parse(lines) == expected


@pytest.mark.parametrize("line", [b"", b"25", b"2500 x", b"150 x", b"650 x", b"ok", b" 250 ok", b"250_ok", b"\xff50 x"])
def test_a_line_without_a_reply_code_is_no_reply(line):
    with pytest.raises(replies.MalformedReply):
        replies.is_last_line(line)
    with pytest.raises(replies.MalformedReply):
        replies.parse([line])


def test_lines_with_different_codes_are_no_reply():
    with pytest.raises(replies.MalformedReply):
        replies.parse([b"250-taken", b"450 or not"])


def test_a_hyphen_says_that_the_reply_goes_on():
    assert not replies.is_last_line(b"250-more")
    assert replies.is_last_line(b"250 last")
    assert replies.is_last_line(b"250")


@given(st.binary(max_size=2000))
def test_a_text_is_printable_one_line_and_short_whatever_the_server_sends(junk):
    text = replies.parse([b"550 " + junk]).text
    assert len(text) <= replies.MAX_TEXT
    assert all(c.isprintable() for c in text)
    assert text == " ".join(text.split())


def test_what_moves_a_cursor_or_turns_the_text_around_is_taken_out():
    text = replies.parse(["550 \x1b[2Jgone \u202eback\u2028line".encode()]).text
    assert text == "[2Jgone back line"


def test_an_exception_shows_no_address_that_the_relay_repeats():
    reply = Reply(550, "no <ann@example.com> here, ask bob@example.org.", "5.1.1")
    assert replies.without_addresses(reply) == "550 5.1.1 no <[address]> here, ask [address]"
    assert replies.code_only(reply) == "550 5.1.1"
