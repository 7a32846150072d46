"""Every row of the table of answers (DESIGN §9) that a transaction can meet, on a real socket."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailworker.outcome import Reply
from mailworker.smtp import content as contents
from mailworker.smtp.transaction import Envelope, transact
from mailworker.testing import DROP, HANG, OK, Drip, Drop, Hang, Script
from tests.smtp.parts import ACCEPTED, ALL, ANSWERS, CONTENT, DEFERRED, IN_DOUBT, REJECTED, SENDER, A, B, C, kinds
from tests.smtpd import Bench

#: More than leaves in one write with its dot, so that the server can speak in the middle.
LARGE = CONTENT + b"hello, and so on\r\n" * 5000


@pytest.fixture(params=[True, False], ids=["pipelined", "one by one"])
def bench(request):
    bench = Bench(pipelining=request.param)
    yield bench
    bench.end()


def hurried(session, timeout):
    """Shorten the time of each phase once the session is open: a busy machine has to get that far."""
    object.__setattr__(session.options, "timeout", timeout)
    return session


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ANSWERS.items()])
def test_each_answer_gives_each_recipient_its_outcome(bench, row):
    script, expected, usable = row
    server = bench.serve(script)
    session = bench.session(server)
    result = transact(session, ALL, CONTENT)
    assert kinds(result) == expected
    assert session.is_closed is not usable
    assert (result.go_away, result.stale, result.withdrawn, result.locked_out) == (False, False, False, None)
    if IN_DOUBT not in expected:
        taken = [recipient for recipient, kind in zip(ALL.recipients, expected, strict=True) if kind is ACCEPTED]
        assert [t.recipients for t in server.accepted] == ([taken] if taken else [])
    if not usable:
        server.wait_closed()


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ANSWERS.items() if row[2]])
def test_the_next_message_goes_out_in_the_same_session(bench, row):
    script, _, _ = row
    server = bench.serve(script)
    session = bench.session(server)
    transact(session, ALL, CONTENT)
    server.script()
    result = transact(session, ALL, CONTENT)
    assert kinds(result) == (ACCEPTED,) * 3
    assert server.connections_ever == 1
    assert server.accepted[-1].content == CONTENT


@pytest.mark.parametrize("answer", ["451 later", "551 no"])
def test_nothing_is_said_behind_a_refused_mail_but_what_went_out_with_it(bench, answer):
    server = bench.serve(Script(mail=answer))
    many = Envelope(SENDER, tuple(f"r{n}@example.org" for n in range(250)))
    transact(bench.session(server), many, CONTENT)
    assert server.sessions[0].bursts[1:] == [["MAIL", *["RCPT"] * 99] if server.behaviour.pipelining else ["MAIL"]]


def test_no_content_is_asked_for_that_nobody_gets(bench):
    server = bench.serve(Script(rcpt="550 no"))
    many = Envelope(SENDER, tuple(f"r{n}@example.org" for n in range(199)))
    transact(bench.session(server), many, CONTENT)
    assert server.sessions[0].verbs == ["EHLO", "MAIL", *["RCPT"] * 199, "RSET"]


@pytest.mark.parametrize(
    "script",
    [
        Script(mail="421 4.3.2 bye"),
        Script(rcpt={B: "421 4.3.2 bye"}),
        Script(data="421 4.3.2 bye"),
        Script(content="421 4.3.2 bye"),
    ],
    ids=["MAIL", "RCPT", "DATA", "content"],
)
def test_421_before_the_dot_is_flagged_and_closes_the_session(bench, script):
    server = bench.serve(script)
    session = bench.session(server)
    result = transact(session, ALL, LARGE, before_dot=early_reply_of(server))
    assert result.go_away
    assert kinds(result) == (DEFERRED,) * 3
    assert session.is_closed
    assert result.outcomes[C].reply == Reply(421, "bye", "4.3.2")
    assert server.complete == []


def early_reply_of(server):
    """Return a `before_dot` that waits until the server has said something in the middle of the content."""
    return lambda: server.wait_until(lambda: any(t.early for t in server.transactions)) is None


def test_a_refusal_is_kept_beside_the_421_that_followed_it(bench):
    server = bench.serve(Script(rcpt={A: "550 5.1.1 unknown", B: "421 bye"}))
    result = transact(bench.session(server), ALL, CONTENT)
    assert result.go_away
    assert kinds(result) == (REJECTED, DEFERRED, DEFERRED)


@pytest.mark.parametrize(
    ("early", "kind"), [("552 5.3.4 too big", REJECTED), ("451 4.3.0 disk full", DEFERRED), ("250 fine", DEFERRED)]
)
def test_a_reply_that_comes_before_the_dot_is_the_answer_and_no_dot_is_sent(bench, early, kind):
    server = bench.serve(Script(content=early))
    session = bench.session(server)
    result = transact(session, ALL, LARGE, before_dot=early_reply_of(server))
    assert kinds(result) == (kind,) * 3
    assert session.is_closed
    assert server.complete == []


def test_a_reply_in_the_middle_of_a_large_content_is_the_answer(bench):
    server = bench.serve(Script(content="552 5.3.4 too big"))
    result = transact(bench.session(server), ALL, b"x" * 70 + b"\r\n" * 4_000_000)
    assert kinds(result) == (REJECTED,) * 3
    assert result.outcomes[A].reply == Reply(552, "too big", "5.3.4")


def test_a_server_that_goes_in_the_middle_of_the_content_leaves_no_doubt(bench):
    server = bench.serve(Script(content=DROP))
    result = transact(bench.session(server), ALL, LARGE, before_dot=lambda: server.wait_closed() is None)
    assert kinds(result) == (DEFERRED,) * 3
    assert "in the content" in result.outcomes[A].text


def test_a_server_that_goes_behind_354_leaves_no_doubt(bench):
    server = bench.serve(Script(data=Drop(after="354 go")))
    result = transact(bench.session(server), ALL, CONTENT, before_dot=lambda: server.wait_closed() is None)
    assert kinds(result) == (DEFERRED,) * 3


def test_half_a_reply_to_the_dot_is_none(bench):
    server = bench.serve(Script(dot=b"250 2.0.0 tak"))
    result = transact(bench.session(server, final_reply_timeout=0.2), ALL, CONTENT)
    assert kinds(result) == (IN_DOUBT,) * 3


def test_a_reused_session_that_is_dead_at_its_first_command_is_stale(bench):
    server = bench.serve(Script(mail=[OK, DROP]))
    session = bench.session(server)
    assert not transact(session, ALL, CONTENT).stale
    result = transact(session, ALL, CONTENT)
    assert result.stale
    assert session.is_closed
    assert set(result.outcomes) == set(ALL.recipients)


def test_a_reused_session_that_answers_4_4_2_is_stale(bench):
    server = bench.serve(Script(mail=[OK, "451 4.4.2 Timeout waiting for data from client."]))
    session = bench.session(server)
    transact(session, ALL, CONTENT)
    result = transact(session, ALL, CONTENT)
    assert result.stale
    assert session.is_closed


def test_a_new_session_that_is_lost_at_its_first_command_is_not_stale(bench):
    server = bench.serve(Script(mail=[DROP, "451 4.4.2 timeout"]))
    session = bench.session(server)
    assert not transact(session, ALL, CONTENT).stale
    session = bench.session(server)
    result = transact(session, ALL, CONTENT)
    assert not result.stale
    assert not session.is_closed


@pytest.mark.parametrize("answer", [HANG, b"junk\r\n"], ids=["hangs", "talks nonsense"])
def test_a_reused_session_that_hangs_or_talks_nonsense_is_not_stale(bench, answer):
    server = bench.serve(Script(mail=[OK, answer]))
    session = bench.session(server)
    transact(session, ALL, CONTENT)
    result = transact(hurried(session, 0.3), ALL, CONTENT)
    assert not result.stale
    assert kinds(result) == (DEFERRED,) * 3


def test_a_reused_session_that_is_lost_later_than_its_first_command_is_not_stale(bench):
    server = bench.serve(Script(rcpt={A: [OK, DROP]}))
    session = bench.session(server)
    transact(session, ALL, CONTENT)
    assert not transact(session, ALL, CONTENT).stale


def test_530_to_mail_locks_out_and_rejects_nobody(bench):
    server = bench.serve(Script(require_auth=True, users={"u": "p"}))
    session = bench.session(server)
    result = transact(session, ALL, CONTENT)
    assert result.locked_out == Reply(530, "authentication required", "5.7.0")
    assert kinds(result) == (DEFERRED,) * 3
    assert not session.is_closed


@pytest.mark.parametrize(
    "script",
    [Script(rcpt={B: "530 5.7.0 log in first"}), Script(data="530 5.7.0 log in first")],
    ids=["RCPT", "DATA"],
)
def test_530_before_the_content_locks_out_and_rejects_nobody(bench, script):
    server = bench.serve(script)
    session = bench.session(server)
    result = transact(session, ALL, CONTENT)
    assert result.locked_out == Reply(530, "log in first", "5.7.0")
    assert kinds(result) == (DEFERRED,) * 3
    session.close()
    server.wait_closed()
    assert server.complete == [], "whoever was taken gets no empty message"


def test_a_message_that_is_refused_as_a_whole_sends_no_empty_one_to_whom_the_server_took(bench):
    def in_other_words(send, data):
        send(data.replace(b"250 2.1.0 sender taken", b"451 4.3.0 not you, not now"))

    server = bench.serve(Script(leaving=in_other_words))
    session = bench.session(server)
    result = transact(session, ALL, CONTENT)
    assert kinds(result) == (DEFERRED,) * 3
    assert result.outcomes[A].reply == Reply(451, "not you, not now", "4.3.0")
    session.close()
    server.wait_closed()
    assert server.complete == []


def no_dot():
    raise AssertionError("asked for a dot that nobody sends")


@pytest.mark.parametrize("bench", [True], indirect=True, ids=["pipelined"])
@pytest.mark.parametrize("farewell", ["554 5.5.1 no valid recipients", "250 2.0.0 taken", "451 what", "421 bye", DROP])
def test_a_content_that_is_asked_for_although_nobody_gets_it_is_the_dot_alone(bench, farewell):
    server = bench.serve(Script(rcpt="550 5.1.1 no", data="354 go", dot=farewell))
    session = bench.session(server)
    result = transact(session, ALL, CONTENT, before_dot=no_dot)
    assert kinds(result) == (REJECTED,) * 3
    assert result.outcomes[A].reply == Reply(550, "no", "5.1.1")
    assert session.is_closed is (farewell in ("421 bye", DROP))
    (empty,) = server.complete
    assert (empty.recipients, empty.content) == ([], b"")


# Size, encodings, what is said in MAIL.


def test_a_message_over_the_offered_size_is_rejected_without_a_word(bench):
    server = bench.serve(Script(size=len(CONTENT) - 1))
    session = bench.session(server)
    result = transact(session, ALL, CONTENT)
    assert kinds(result) == (REJECTED,) * 3
    assert "(SIZE)" in result.outcomes[A].text
    assert not session.is_closed
    assert server.sessions[0].verbs == ["EHLO"]


@pytest.mark.parametrize("size", [len(CONTENT), 0, None])
def test_a_message_within_the_offered_size_is_sent(bench, size):
    server = bench.serve(Script(size=size))
    assert kinds(transact(bench.session(server), ALL, CONTENT)) == (ACCEPTED,) * 3


def test_the_size_that_counts_is_that_on_the_wire(bench):
    text = CONTENT.replace(b"\r\n", b"\n")
    server = bench.serve(Script(size=len(CONTENT) - 1))
    assert kinds(transact(bench.session(server), ALL, text)) == (REJECTED,) * 3


def test_mail_carries_size_and_body_as_offered_and_needed(bench):
    server = bench.serve()
    session = bench.session(server)
    transact(session, ALL, CONTENT)
    transact(session, ALL, "Subject: ü\r\n\r\n".encode())
    server.script(size=None, eight_bit=False)
    transact(bench.session(server), ALL, CONTENT)
    assert [t.parameters for t in server.accepted] == [
        (f"SIZE={len(CONTENT)}",),
        ("SIZE=15", "BODY=8BITMIME", "SMTPUTF8"),
        (),
    ]


def test_a_recipient_beyond_ascii_is_rejected_alone_without_smtputf8(bench):
    server = bench.serve(Script(smtputf8=False))
    result = transact(bench.session(server), Envelope(SENDER, (A, "jörg@example.org")), CONTENT)
    assert result.outcomes[A].kind is ACCEPTED
    assert result.outcomes["jörg@example.org"].kind is REJECTED
    assert "SMTPUTF8" in result.outcomes["jörg@example.org"].text
    assert server.accepted[0].recipients == [A]
    assert "SMTPUTF8" not in server.accepted[0].parameters


def test_a_recipient_beyond_ascii_is_served_with_smtputf8(bench):
    server = bench.serve()
    result = transact(bench.session(server), Envelope(SENDER, ("jörg@example.org",)), CONTENT)
    assert result.outcomes["jörg@example.org"].kind is ACCEPTED
    assert server.accepted[0].recipients == ["jörg@example.org"]
    assert "SMTPUTF8" in server.accepted[0].parameters


def test_a_sender_beyond_ascii_without_smtputf8_rejects_all(bench):
    server = bench.serve(Script(smtputf8=False))
    result = transact(bench.session(server), Envelope("jörg@example.org", (A, B, C)), CONTENT)
    assert kinds(result) == (REJECTED,) * 3
    assert server.sessions[0].verbs == ["EHLO"]


def test_an_address_that_would_inject_a_command_is_never_sent(bench):
    evil = "a@example.org>\r\nRCPT TO:<victim@example.org"
    server = bench.serve()
    result = transact(bench.session(server), Envelope(SENDER, (evil, B)), CONTENT)
    assert result.outcomes[evil].kind is REJECTED
    assert result.outcomes[B].kind is ACCEPTED
    assert server.accepted[0].recipients == [B]


def test_the_null_sender_and_quoted_local_parts_are_sent_as_they_are(bench):
    server = bench.serve()
    result = transact(bench.session(server), Envelope("", ('"a > b"@example.org',)), CONTENT)
    assert [o.kind for o in result.outcomes.values()] == [ACCEPTED]
    assert (server.accepted[0].sender, server.accepted[0].recipients) == ("", ['"a > b"@example.org'])


def test_an_envelope_without_recipients_is_a_bug_of_the_caller(bench):
    session = bench.session(bench.serve())
    with pytest.raises(ValueError, match="no recipient"):
        transact(session, Envelope(SENDER, ()), CONTENT)


# The final dot.


def test_a_no_before_the_dot_closes_the_session_without_it(bench):
    server = bench.serve()
    session = bench.session(server)
    result = transact(session, ALL, CONTENT, before_dot=lambda: False)
    assert result.withdrawn
    assert result.outcomes == {}
    assert session.is_closed
    server.wait_closed()
    assert server.complete == []
    assert server.sessions[0].ended_by == "client"
    assert server.sessions[0].verbs == ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "DATA"]


def test_the_dot_is_asked_for_once_and_not_if_there_will_be_none(bench):
    asked = Counter[str]()

    def ask(name):
        asked[name] += 1
        return True

    server = bench.serve(Script(data=[OK, "451 later"]))
    session = bench.session(server)
    transact(session, ALL, CONTENT, before_dot=lambda: ask("first"))
    transact(session, ALL, CONTENT, before_dot=lambda: ask("second"))
    assert asked == {"first": 1}


def test_whatever_is_raised_before_the_dot_leaves_no_dot_and_no_session(bench):
    class Stop(BaseException):
        pass

    def stop():
        raise Stop

    server = bench.serve()
    session = bench.session(server)
    with pytest.raises(Stop):
        transact(session, ALL, CONTENT, before_dot=stop)
    assert session.is_closed
    server.wait_closed()
    assert server.complete == []


# Time.


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script(mail=HANG), DEFERRED),
        (Script(rcpt={B: HANG}), DEFERRED),
        (Script(data=HANG), DEFERRED),
        (Script(mail=Drip("250 " + "x" * 400, 0.02)), DEFERRED),
        (Script(data=Drip("354 " + "x" * 400, 0.02)), DEFERRED),
    ],
    ids=["MAIL hangs", "RCPT hangs", "DATA hangs", "MAIL drips", "DATA drips"],
)
def test_a_server_that_hangs_or_drips_before_the_dot_is_left_after_the_phase_s_time(bench, script, kind):
    server = bench.serve(script)
    result = transact(hurried(bench.session(server), 0.3), ALL, CONTENT)
    assert kinds(result) == (kind,) * 3
    assert "timed out" in result.outcomes[A].text
    server.wait_closed()
    assert server.complete == []


@pytest.mark.parametrize("dot", [HANG, Drip("250 " + "x" * 400, 0.02)], ids=["hangs", "drips"])
def test_a_server_that_hangs_or_drips_after_the_dot_is_in_doubt(bench, dot):
    server = bench.serve(Script(dot=dot))
    result = transact(bench.session(server, final_reply_timeout=0.3), ALL, CONTENT)
    assert kinds(result) == (IN_DOUBT,) * 3
    assert "timed out after the final dot" in result.outcomes[A].text
    server.wait_closed()


def test_the_final_reply_has_a_time_of_its_own(bench):
    server = bench.serve(Script(dot=Drip("250 2.0.0 filtered for a long time", 0.05)))
    session = hurried(bench.session(server, transaction_timeout=1.0), 1.0)
    assert kinds(transact(session, ALL, CONTENT)) == (ACCEPTED,) * 3


def test_many_slow_recipients_end_with_the_whole_transaction_s_time(bench):
    server = bench.serve(Script(rcpt=Drip("250 ok", 0.02)))
    many = Envelope(SENDER, tuple(f"r{n}@example.org" for n in range(200)))
    result = transact(bench.session(server, timeout=10.0, transaction_timeout=1.0), many, CONTENT)
    assert {outcome.kind for outcome in result.outcomes.values()} == {DEFERRED}
    assert "timed out in RCPT" in result.outcomes["r199@example.org"].text
    assert len(server.transactions[0].recipients) < 200


def test_a_server_that_does_not_read_the_content_is_left(bench):
    server = bench.serve(Script(content=Hang(deaf=True), size=None))
    # More than the buffers of both ends hold.
    result = transact(hurried(bench.session(server), 0.3), ALL, b"x" * 64_000_000)
    assert kinds(result) == (DEFERRED,) * 3
    assert "timed out in the content" in result.outcomes[A].text


def test_a_dot_that_nobody_has_time_for_is_not_sent(bench):
    class Late:
        now = 0.0

        def __call__(self):
            return self.now

    clock = Late()
    server = bench.serve()
    session = bench.session(server, clock=clock, transaction_timeout=50.0)

    def slow():
        clock.now += 51.0
        return True

    result = transact(session, ALL, CONTENT, before_dot=slow)
    assert kinds(result) == (DEFERRED,) * 3
    server.wait_closed()
    assert server.complete == []


# What the server gets.


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(
            st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\xff", b"\r.\r", b"\n.\n"]), max_size=30
        ).map(b"".join),
        min_size=1,
        max_size=5,
    )
)
def test_every_content_arrives_as_one_message_with_crlf_only(bench, texts):
    server = bench.serve()
    session = bench.session(server)
    for text in texts:
        assert kinds(transact(session, ALL, text)) == (ACCEPTED,) * 3
    session.close()
    assert [t.content for t in server.accepted] == [contents.normalised(text) for text in texts]
    assert set(server.sessions[0].verbs) == {"EHLO", "MAIL", "RCPT", "DATA", "QUIT"}
    for transaction in server.accepted:
        assert transaction.raw.count(b"\r") == transaction.raw.count(b"\n") == transaction.raw.count(b"\r\n")
    server.stop()


def test_a_large_content_arrives_whole(bench):
    text = b"".join(b".%06d %s\r\n" % (n, b"x" * 60) for n in range(40_000))
    server = bench.serve()
    assert kinds(transact(bench.session(server), ALL, text)) == (ACCEPTED,) * 3
    assert server.accepted[0].content == text


def test_transactions_over_tls_are_the_same(bench, certificates):
    server = bench.serve(Script(rcpt={B: "450 later"}, dot=[OK, DROP]), tls=certificates.server(), implicit_tls=True)
    session = bench.session(server, use_ssl=True, ssl_context=certificates.client(), host="localhost")
    assert kinds(transact(session, ALL, CONTENT)) == (ACCEPTED, DEFERRED, ACCEPTED)
    assert kinds(transact(session, ALL, CONTENT)) == (IN_DOUBT, DEFERRED, IN_DOUBT)


def test_a_server_that_hangs_over_tls_is_left(bench, certificates):
    server = bench.serve(Script(data=Hang()), tls=certificates.server(), implicit_tls=True)
    session = bench.session(server, use_ssl=True, ssl_context=certificates.client(), host="localhost")
    assert kinds(transact(hurried(session, 0.3), ALL, CONTENT)) == (DEFERRED,) * 3
