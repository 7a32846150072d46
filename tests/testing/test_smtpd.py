"""The scripted SMTP server, seen from smtplib and from a bare socket: a client that shares no code with ours."""

from __future__ import annotations

import json
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest

from mailworker.testing import DROP, HANG, OK, RESET, Command, Drip, Drop, Hang, Script, ScriptedServer
from mailworker.testing.__main__ import main
from mailworker.testing.script import reply_of
from tests.smtpd import Certificates

#: A server that offers nothing, so that its answer to EHLO is one line.
PLAIN: dict[str, Any] = {"features": [], "size": None, "eight_bit": False, "smtputf8": False, "pipelining": False}

A, B, S = "a@example.org", "b@example.org", "s@example.com"


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


def client(server):
    return smtplib.SMTP(server.host, server.port, local_hostname="client.example.com", timeout=20)


class Raw:
    """A socket that sends bytes and reads lines."""

    def __init__(self, server):
        self._sock = socket.create_connection((server.host, server.port), timeout=20)
        self._file = self._sock.makefile("rb")

    def say(self, data, lines=1):
        self._sock.sendall(data)
        return [self._file.readline() for _ in range(lines)]

    def rest(self):
        return self._file.read()

    def close(self):
        self._file.close()
        self._sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def test_smtplib_is_served_and_everything_is_on_record(server):
    with client(server) as smtp:
        refused = smtp.sendmail(S, [A, B], "Subject: s\n\n.b\n", mail_options=["BODY=8BITMIME"])
    assert refused == {}
    (got,) = server.wait_for(1)
    assert (got.sender, got.recipients, got.refused) == (S, [A, B], {})
    assert "BODY=8BITMIME" in got.parameters
    assert got.content == b"Subject: s\r\n\r\n.b\r\n"
    assert got.raw == b"Subject: s\r\n\r\n..b\r\n"
    assert (got.complete, got.accepted, got.reply) == (True, True, "250 2.0.0 message taken")
    server.wait_closed()
    assert got.session is server.sessions[0]
    assert got.session.name == "client.example.com"
    assert got.session.verbs == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert got.session.ended_by == "quit"
    assert (server.connections_open, server.connections_ever) == (0, 1)


def test_an_answer_by_address_is_for_that_address_alone():
    with ScriptedServer(Script(rcpt={A: "450 4.2.0 busy"})) as server, client(server) as smtp:
        assert smtp.sendmail(S, [A, B], "x") == {A: (450, b"4.2.0 busy")}
        assert server.accepted[0].refused == {A: "450 4.2.0 busy"}
        assert server.accepted[0].recipients == [B]


@pytest.mark.parametrize(
    ("scripted", "sent"),
    [
        ("a@example.org", "A@Example.org"),
        ("Ann <a@example.org>", "a@example.org"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
    ],
)
def test_an_address_may_be_spelled_in_another_way(scripted, sent):
    with ScriptedServer(Script(rcpt={scripted: ["550 no"]})) as server, client(server) as smtp:
        smtp.ehlo()
        smtp.mail("from@example.org")
        assert [smtp.rcpt(sent)[0], smtp.rcpt(sent)[0], smtp.rcpt("b@example.org")[0]] == [550, 250, 250]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"rcpt": {"a@x": 450}}, "rcpt of 'a@x' is 450; expected OK, a reply such as '450 4.2.0 busy', bytes, Drop, "),
        ({"dot": [OK, None]}, "dot is None; expected OK, a reply such as"),
        ({"mail": Hang(then="later")}, "mail, after the hang, is 'later', which is no reply: begin with a code, such "),
        (
            {"rcpt": "busy"},
            "rcpt is 'busy', which is no reply: begin with a code, such as '450 4.2.0 busy'; for what no ",
        ),
        ({"quit": Drop(after="bye")}, "quit is 'bye', which is no reply"),
        ({"data": Drip("")}, "data is '', which is no reply"),
    ],
)
def test_what_is_no_answer_is_told_where_the_script_is_made(server, answers, said):
    with pytest.raises((TypeError, ValueError)) as caught:
        server.script(**answers)
    assert str(caught.value).startswith(said)
    assert server.behaviour.rcpt is OK


def test_a_list_is_used_up_over_all_sessions_and_then_all_is_well():
    with ScriptedServer(Script(rcpt={A: ["450 busy", OK, "550 gone"]})) as server:
        codes = []
        for _ in range(4):
            with client(server) as smtp:
                smtp.ehlo()
                smtp.mail(S)
                codes.append(smtp.rcpt(A)[0])
                smtp.rset()
        assert codes == [450, 250, 550, 250]


def test_a_function_is_asked_with_where_the_session_stands():
    asked = []

    def answer(command: Command):
        asked.append(command)
        return "554 no" if command.transaction == 2 else OK

    with ScriptedServer(Script(dot=answer)) as server, client(server) as smtp:
        smtp.sendmail(S, [A], "x")
        with pytest.raises(smtplib.SMTPDataError):
            smtp.sendmail(S, [A, B], "x")
    assert [(c.phase, c.session, c.transaction, c.sender, c.recipients) for c in asked] == [
        ("dot", 1, 1, S, (A,)),
        ("dot", 1, 2, S, (A, B)),
    ]


def test_the_dot_can_be_answered_by_recipient():
    with ScriptedServer(Script(dot={B: ["451 later"]})) as server, client(server) as smtp:
        smtp.sendmail(S, [A], "x")
        with pytest.raises(smtplib.SMTPDataError):
            smtp.sendmail(S, [A, B], "x")
        smtp.sendmail(S, [A, B], "x")
        assert [t.reply[:3] for t in server.transactions] == ["250", "451", "250"]
        assert len(server.complete) == 3
        assert len(server.accepted) == 2


def test_a_script_may_be_replaced_while_the_server_runs(server):
    with client(server) as smtp:
        smtp.ehlo()
        assert smtp.noop()[0] == 250
        server.script(noop="450 busy")
        assert smtp.noop()[0] == 450


@pytest.mark.parametrize("phase", ["greeting", "ehlo", "mail", "rcpt", "data", "dot", "rset", "noop", "quit"])
@pytest.mark.parametrize("fault", [DROP, RESET, Drop(after="250 ok")], ids=["drop", "reset", "drop after a reply"])
def test_each_phase_can_end_the_connection(phase, fault):
    lines = {
        "ehlo": b"EHLO c\r\n",
        "mail": b"MAIL FROM:<s@x>\r\n",
        "rcpt": b"RCPT TO:<a@x>\r\n",
        "data": b"DATA\r\n",
        "dot": b"x\r\n.\r\n",
        "rset": b"RSET\r\n",
        "noop": b"NOOP\r\n",
        "quit": b"QUIT\r\n",
    }
    with ScriptedServer(Script(**{phase: fault, **PLAIN})) as server:
        said: list[bytes] = []
        # A reset may come as early as in connect().
        with suppress(ConnectionError), Raw(server) as raw:
            said += raw.say(b"")
            for name, line in lines.items():
                if phase == "greeting":
                    break
                said += raw.say(line)
                if name == phase:
                    break
            assert raw.rest() == b""
        assert (b"250 ok\r\n" in said) == (fault == Drop(after="250 ok"))
        server.wait_closed()
        assert server.sessions[0].ended_by == "server"


def test_bytes_are_sent_as_they_are():
    with ScriptedServer(Script(noop=b"junk\x00\xff")) as server, Raw(server) as raw:
        raw.say(b"")
        raw._sock.sendall(b"NOOP\r\n")
        assert raw._file.read(6) == b"junk\x00\xff"


def test_a_drip_comes_byte_by_byte():
    with ScriptedServer(Script(noop=Drip("250 slow", 0.02))) as server, Raw(server) as raw:
        raw.say(b"")
        raw._sock.sendall(b"NOOP\r\n")
        pieces: list[bytes] = []
        while b"".join(pieces) != b"250 slow\r\n":
            pieces.append(raw._sock.recv(100))
        assert len(pieces) > 1


def test_a_hang_lasts_until_the_release_and_then_answers():
    with ScriptedServer(Script(noop=[HANG, Hang(then="450 busy")])) as server, client(server) as smtp:
        smtp.ehlo()
        codes = []
        for _ in range(2):
            thread = threading.Thread(target=lambda: codes.append(smtp.noop()[0]))
            thread.start()
            server.wait_hanging()
            server.release()
            thread.join()
        assert codes == [250, 450]


def test_a_hang_ends_when_the_client_goes():
    with ScriptedServer(Script(noop=HANG)) as server:
        raw = Raw(server)
        raw.say(b"")
        raw._sock.sendall(b"NOOP\r\n")
        server.wait_hanging()
        raw.close()
        server.wait_closed()
        assert server.sessions[0].ended_by == "client"


@pytest.mark.parametrize("hang", [HANG, Hang(deaf=True)])
def test_a_hang_ends_when_the_server_stops(hang):
    server = ScriptedServer(Script(noop=hang)).start()
    with Raw(server) as raw:
        raw.say(b"")
        raw._sock.sendall(b"NOOP\r\n")
        server.wait_hanging()
        server.stop()
        assert raw.rest() == b""
    assert server.connections_open == 0


def test_only_crlf_dot_crlf_ends_a_content(server):
    with Raw(server) as raw:
        raw.say(b"")
        raw.say(b"EHLO c\r\n", 5)
        raw.say(b"MAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\nDATA\r\n", 3)
        raw.say(b"a\n.\nb\r.\rc\r\n.\nd\r\n.\r\n")
    assert server.accepted[0].raw == b"a\n.\nb\r.\rc\r\n.\nd\r\n"


@pytest.mark.parametrize("content", [b"", b"..\r\n", b"x\r\n"])
def test_a_content_may_be_empty_or_begin_with_a_dot(server, content):
    with Raw(server) as raw:
        raw.say(b"")
        raw.say(b"EHLO c\r\n", 5)
        raw.say(b"MAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\nDATA\r\n", 3)
        assert raw.say(content + b".\r\n") == [b"250 2.0.0 message taken\r\n"]
    assert server.accepted[0].raw == content


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"MAIL FROM:<s@x>\r\n", b"503"),
        (b"RCPT TO:<a@x>\r\n", b"503"),
        (b"DATA\r\n", b"503"),
        (b"STARTTLS\r\n", b"503"),
        (b"AUTH PLAIN x\r\n", b"504"),
        (b"WHAT\r\n", b"500"),
        (b"MAIL FROM:s@x\r\n", b"501"),
    ],
)
def test_what_comes_out_of_order_is_refused(said, code):
    with ScriptedServer(Script(mechanisms=[])) as server, Raw(server) as raw:
        raw.say(b"")
        assert raw.say(said)[0][:3] == code


def test_a_421_ends_the_session():
    with ScriptedServer(Script(noop="421 bye")) as server, Raw(server) as raw:
        raw.say(b"")
        assert raw.say(b"NOOP\r\n") == [b"421 bye\r\n"]
        assert raw.rest() == b""


def test_so_many_messages_a_session_and_421_for_the_next():
    with ScriptedServer(Script(max_messages=1)) as server:
        smtp = client(server)
        smtp.sendmail(S, [A], "x")
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            smtp.sendmail(S, [A], "x")
        assert caught.value.smtp_code == 421
        smtp.close()


def test_an_idle_session_is_ended_after_its_time():
    with ScriptedServer(Script(idle=0.05)) as server, Raw(server) as raw:
        raw.say(b"")
        assert raw.rest() == b"421 4.4.2 idle for too long\r\n"


@pytest.mark.parametrize("farewell", ["421 enough", ""])
def test_idle_sessions_are_ended_on_command(server, farewell):
    with Raw(server) as one, Raw(server) as two:
        one.say(b"")
        two.say(b"")
        server.hang_up(farewell)
        assert server.connections_open == 0
        assert one.rest() == two.rest() == (farewell.encode() + b"\r\n" if farewell else b"")


def test_a_closed_port_takes_nobody_and_keeps_those_who_are_in(server):
    with client(server) as smtp:
        server.close_port()
        with pytest.raises(ConnectionRefusedError):
            Raw(server)
        assert smtp.noop()[0] == 250


def test_users_are_checked_and_named():
    with ScriptedServer(
        Script(users={"u": "p"}, mechanisms=["CRAM-MD5", "PLAIN", "LOGIN"], require_auth=True)
    ) as server:
        with client(server) as smtp:
            with pytest.raises(smtplib.SMTPSenderRefused) as refused:
                smtp.sendmail(S, [A], "x")
            assert refused.value.smtp_code == 530
            with pytest.raises(smtplib.SMTPAuthenticationError):
                smtp.login("u", "wrong")
            smtp.login("u", "p")
            smtp.sendmail(S, [A], "x")
        assert server.accepted[0].session.user == "u"
        assert all("dQ" not in command for command in server.sessions[0].commands)


BEARERS = {
    "XOAUTH2": ("user=u\1auth=Bearer {}\1\1", ""),
    "OAUTHBEARER": ("n,a=u,\1host=127.0.0.1\1port=25\1auth=Bearer {}\1\1", "\1"),
}


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("mechanism", BEARERS)
def test_a_token_logs_its_user_in_and_a_wrong_one_is_told_why_before_the_verdict(mechanism, inline):
    first, acknowledgement = BEARERS[mechanism]
    challenges = []

    def show(token):
        def respond(challenge=None):
            if challenge:
                challenges.append(json.loads(challenge))
                return acknowledgement
            return first.format(token)

        return smtp.auth(mechanism, respond, initial_response_ok=inline)

    with ScriptedServer(Script(tokens={"u": "right"}, mechanisms=[mechanism], require_auth=True)) as server:
        with client(server) as smtp:
            smtp.ehlo()
            with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
                show("wrong")
            assert refused.value.smtp_code == 535
            assert show("right")[0] == 235
            smtp.sendmail(S, [A], "x")
        assert server.accepted[0].session.user == "u"
        assert server.sessions[0].tokens == ["wrong", "right"]
        assert "wrong" not in repr(server.sessions)
        assert server.sessions[0].commands[1:3] == [f"AUTH {mechanism}"] * 2
    assert [challenge["scope"] for challenge in challenges] == ["https://mail.example.com/"]


def test_a_token_error_that_is_not_acknowledged_is_an_error_of_its_own():
    with ScriptedServer(Script(tokens={"u": "right"}, mechanisms=["OAUTHBEARER"])) as server, Raw(server) as raw:
        raw.say(b"", 1)
        raw.say(b"EHLO me\r\n", 6)
        shown = b64encode(BEARERS["OAUTHBEARER"][0].format("wrong").encode())
        assert raw.say(b"AUTH OAUTHBEARER " + shown + b"\r\n")[0].startswith(b"334 ey")
        assert raw.say(b"\r\n")[0].startswith(b"501")
        for nonsense in (b"eA==", b"*", b"!"):
            assert raw.say(b"AUTH OAUTHBEARER " + nonsense + b"\r\n")[0].startswith(b"501")


def test_a_script_decides_what_comes_of_a_token():
    script = Script(
        tokens={"u": "right"},
        mechanisms=["XOAUTH2"],
        token_error=["535 5.7.8 no", Drop(after="334 e30=")],
        verdict=["334 more", "334 and more", "235 2.7.0 at last"],
    )
    right, wrong = (b64encode(BEARERS["XOAUTH2"][0].format(token).encode()) for token in ("right", "wrong"))
    with ScriptedServer(script) as server, Raw(server) as raw:
        raw.say(b"", 1)
        raw.say(b"EHLO me\r\n", 6)
        assert raw.say(b"AUTH XOAUTH2 " + wrong + b"\r\n") == [b"535 5.7.8 no\r\n"]
        assert raw.say(b"AUTH XOAUTH2 " + right + b"\r\n") == [b"334 more\r\n"]
        assert raw.say(b"\r\n") == [b"334 and more\r\n"]
        assert [session.user for session in server.sessions] == [None]
        assert raw.say(b"\r\n") == [b"235 2.7.0 at last\r\n"]
        assert [session.user for session in server.sessions] == ["u"]
        assert raw.say(b"AUTH XOAUTH2 " + wrong + b"\r\n") == [b"334 e30=\r\n"]
        assert raw.rest() == b""


@pytest.mark.parametrize("implicit", [False, True])
def test_tls_is_spoken_from_the_start_or_after_starttls(implicit):
    certificates = Certificates()
    with ScriptedServer(tls=certificates.server(), implicit_tls=implicit) as server:
        if implicit:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL("localhost", server.port, context=certificates.client(), timeout=20)
        else:
            smtp = smtplib.SMTP("localhost", server.port, timeout=20)
            smtp.starttls(context=certificates.client())
        smtp.sendmail(S, [A], "x")
        smtp.quit()
        assert server.accepted[0].session.is_tls


def test_implicit_tls_without_a_certificate_is_a_mistake():
    with pytest.raises(ValueError, match="implicit_tls"):
        ScriptedServer(implicit_tls=True)


def test_an_answer_that_is_none_is_a_mistake_that_shows():
    with pytest.raises(TypeError, match="expected OK"):
        reply_of(250)  # type: ignore[arg-type]


def test_a_wait_that_is_not_fulfilled_says_what_is_there(server):
    with pytest.raises(AssertionError, match="2 accepted transactions did not come"):
        server.wait_for(2, timeout=0.01)


def test_stop_ends_every_connection_and_thread():
    before = threading.active_count()
    server = ScriptedServer().start()
    raws = [Raw(server) for _ in range(5)]
    server.wait_for_connections(5)
    server.stop()
    assert server.connections_open == 0
    assert threading.active_count() <= before
    for raw in raws:
        raw.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rcpt", "foo"], "--rcpt: 'foo' is no answer to a recipient: write ADDRESS=REPLY, such as "),
        (["--rcpt", "=550 no"], "--rcpt: '=550 no' is no answer to a recipient: write ADDRESS=REPLY, such as "),
        (["--rcpt", f"{A}=no"], "--rcpt: 'no' is no reply: begin with a code, such as '450 4.2.0 busy'"),
        (["--dot", "later"], "--dot: 'later' is no reply: begin with a code, such as '450 4.2.0 busy'"),
        (["--port", "99999"], "--port: '99999' is no port: give a number from 0 to 65535"),
        (["--port", "smtp"], "--port: 'smtp' is no port: give a number from 0 to 65535"),
    ],
)
def test_wrong_usage_of_the_process_is_exit_status_2_and_one_sentence(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    usage, *_, last = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: python -m mailworker.testing [")
    assert last.startswith(f"python -m mailworker.testing: error: argument {said}")


def test_a_port_that_is_taken_is_one_sentence_and_exit_status_1(server):
    command = [sys.executable, "-m", "mailworker.testing", "--port", str(server.port)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"python -m mailworker.testing: --port {server.port} cannot be listened on: Address already in use; "
        "0 takes a free one\n"
    )


def test_it_runs_as_a_process():
    command = [sys.executable, "-m", "mailworker.testing", "--rcpt", f"{A}=550 5.1.1 no", "--dot", "451 later"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            where = json.loads(process.stdout.readline())
            with smtplib.SMTP(where["host"], where["port"], timeout=20) as smtp:
                with pytest.raises(smtplib.SMTPDataError):
                    smtp.sendmail(S, [B], "first")
                assert list(smtp.sendmail(S, [A, B], "second")) == [A]
            assert json.loads(process.stdout.readline()) == {"sender": S, "recipients": [B], "content": "second\r\n"}
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
