"""One AUTH exchange, and what is left of a secret in what the server said."""

from __future__ import annotations

import pytest

from mailworker.errors import MailerUnavailable, Trouble
from mailworker.smtp import sasl
from mailworker.testing import OK, Script

TOKEN = "".join(chr(0x21 + (7 * n) % 94) for n in range(600))


def test_the_best_known_mechanism_stands_first_in_whatever_order_they_are_offered():
    assert sasl.supported("login Plain GSSAPI cram-md5", ["CRAM-MD5", "PLAIN", "LOGIN"]) == [
        "CRAM-MD5",
        "PLAIN",
        "LOGIN",
    ]
    assert sasl.supported("", ["PLAIN"]) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"no {TOKEN} here", "no *** here"),
        (f"cut: {TOKEN[:490]}", "cut: ***"),
        (f"folded: {TOKEN[:300]} {TOKEN[300:]}", "folded: *** ***"),
        (f"twice {TOKEN[40:80]}, {TOKEN[500:]}.", "twice ***, ***."),
        ("nothing of it", "nothing of it"),
        ("", ""),
    ],
)
def test_a_secret_is_taken_out_also_where_it_is_folded_or_cut(text, left):
    assert sasl.without(text, [TOKEN, ""]) == left


def test_a_word_that_stands_in_a_password_stays_in_the_server_s_sentence():
    assert sasl.without("wrong password", ["my-password-7"]) == "wrong password"
    assert sasl.without("what is my-password-7?", ["my-password-7"]) == "what is ***?"
    assert sasl.without("p, or pp", ["p"]) == "***, or ***"


@pytest.mark.parametrize(("length", "inline"), [(367, True), (368, False), (4000, False)])
def test_an_initial_response_that_makes_the_line_too_long_waits_for_its_challenge(bench, length, inline):
    lines = []

    def note(command):
        lines.append(command.line)
        return OK

    # "AUTH PLAIN " and CRLF leave 499 octets, which is base64 for 372: two of them NUL, and three for the user.
    password = "p" * length
    server = bench.serve(Script(users={"ann": password}, mechanisms=["PLAIN"], auth=note))
    bench.session(server, username="ann", password=password)
    assert server.sessions[0].user == "ann"
    assert (len(lines[0]) > len("AUTH PLAIN")) is inline
    assert len(lines[0]) + len("\r\n") <= 512


# The digest is over the whole challenge. 375 octets are 500 characters of base64, and 3066 about what a line holds.
@pytest.mark.parametrize("length", [0, 1, 30, 375, 376, 3066])
def test_a_challenge_is_answered_whole_as_far_as_a_line_may_go(bench, length):
    server = bench.serve(Script(users={"u": "p"}, mechanisms=["CRAM-MD5"], challenge=b"<" * length))
    bench.session(server, username="u", password="p")
    assert server.sessions[0].user == "u"


def test_a_challenge_beyond_a_line_is_answered_with_nothing(bench):
    server = bench.serve(Script(users={"u": "p"}, mechanisms=["CRAM-MD5", "PLAIN"], challenge=b"<" * 3070))
    with pytest.raises(MailerUnavailable, match="a reply line of more than 4096 octets") as caught:
        bench.session(server, username="u", password="p")
    assert caught.value.trouble is Trouble.GREETING
    server.wait_closed()
    assert server.sessions[0].commands[1:] == ["AUTH CRAM-MD5"]


@pytest.mark.parametrize("challenge", ["PDE4?OTY+", "PDE4OQ==PDE4", "PDE4\u00e9OTY+", "PDE4OTY"])
def test_a_challenge_that_is_no_base64_is_cancelled_and_the_next_mechanism_is_tried(bench, challenge):
    server = bench.serve(Script(users={"u": "p"}, mechanisms=["CRAM-MD5", "PLAIN"], auth=[f"334 {challenge}", OK]))
    bench.session(server, username="u", password="p")
    assert server.sessions[0].commands[1:] == ["AUTH CRAM-MD5", "*", "AUTH PLAIN"]


def test_a_server_that_asks_without_end_is_left_with_its_last_word(bench):
    server = bench.serve(Script(users={"u": "p"}, mechanisms=["LOGIN"], verdict="334 "))
    with pytest.raises(MailerUnavailable) as caught:
        bench.session(server, username="u", password="p")
    assert caught.value.trouble is Trouble.AUTH_REFUSED
    assert caught.value.reply is sasl.ASKS_ON
    server.wait_closed()
