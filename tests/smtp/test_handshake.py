"""From nothing to a session that takes mail, and every way in which that fails."""

from __future__ import annotations

import base64
import socket
import ssl
import time

import psutil
import pytest

from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble
from mailworker.outcome import Reply
from mailworker.smtp import handshake
from mailworker.smtp.options import SessionOptions
from mailworker.smtp.session import Session
from mailworker.testing import DROP, HANG, OK, Drip, Drop, Script


def fails(bench, server, **changes):
    """Open a session in vain; return what was raised, once the server has seen the end of the connection."""
    with pytest.raises(MailerUnavailable) as caught:
        bench.session(server, **changes)
    server.wait_closed()
    assert server.transactions == []
    assert "\n" not in str(caught.value)
    return caught.value


# Connecting.


def test_a_friendly_server_is_greeted_once_with_ehlo(bench):
    server = bench.serve()
    session = bench.session(server)
    assert server.sessions[0].verbs == ["EHLO"]
    assert session.offer.eight_bit
    assert session.offer.size_limit == 10 * 1024 * 1024


def test_a_refused_connection_says_where_and_why():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(MailerUnavailable) as caught:
        Session.open(SessionOptions(host="127.0.0.1", port=port))
    assert caught.value.trouble is Trouble.CONNECT
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "refused" in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example", "256.256.256.256 "[:-1]])
def test_a_name_that_cannot_be_one_is_trouble_with_connecting(host, monkeypatch):
    def no_such_name(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    if all(0 < len(label) < 64 for label in host.split(".")):
        # Nothing beyond this machine is asked.
        monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(MailerUnavailable) as caught:
        Session.open(SessionOptions(host=host, port=25))
    assert caught.value.trouble is Trouble.CONNECT
    assert "cannot be looked up" in str(caught.value)


def test_the_next_address_of_a_name_is_tried(bench, monkeypatch):
    server = bench.serve()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = taken.getsockname()
    real = socket.getaddrinfo

    def two(host, port, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", dead), *real(host, port, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    bench.session(server)
    assert server.connections_ever == 1


def test_the_name_service_is_not_asked_what_we_are_called(bench, monkeypatch):
    def never(*args):
        raise AssertionError("asked")

    handshake._host_name.cache_clear()
    monkeypatch.setattr(socket, "getfqdn", never)
    monkeypatch.setattr(socket, "gethostbyname", never)
    monkeypatch.setattr(socket, "gethostname", lambda: "web1")
    server = bench.serve()
    bench.session(server)
    assert server.sessions[0].name == "[127.0.0.1]"
    handshake._host_name.cache_clear()
    monkeypatch.setattr(socket, "gethostname", lambda: "web1.example.com")
    bench.session(server)
    assert server.sessions[1].name == "web1.example.com"
    handshake._host_name.cache_clear()
    bench.session(server, local_hostname="mail.example.net")
    assert server.sessions[2].name == "mail.example.net"


# Greeting and EHLO.


@pytest.mark.parametrize(
    ("script", "trouble", "code"),
    [
        (Script(greeting="421 4.3.2 too busy"), Trouble.GREETING, 421),
        (Script(greeting="554 5.7.1 not you"), Trouble.GREETING, 554),
        (Script(greeting="354 what"), Trouble.GREETING, 354),
        (Script(greeting=b"SSH-2.0-OpenSSH_9.6\r\n"), Trouble.GREETING, None),
        (Script(greeting=b"220-" + b"x" * 10_000), Trouble.GREETING, None),
        (Script(greeting=DROP), Trouble.CONNECT, None),
        (Script(ehlo="421 4.3.2 bye"), Trouble.GREETING, 421),
        (Script(ehlo="450 later"), Trouble.GREETING, 450),
        (Script(ehlo=DROP), Trouble.CONNECT, None),
        (Script(ehlo=b"what\r\n"), Trouble.GREETING, None),
        (Script(ehlo="500 what", helo="550 no"), Trouble.GREETING, 550),
    ],
)
def test_a_server_that_does_not_greet_is_no_server(bench, script, trouble, code):
    error = fails(bench, bench.serve(script))
    assert error.trouble is trouble
    assert (error.reply.code if error.reply else None) == code


def test_a_server_without_ehlo_is_greeted_with_helo(bench):
    server = bench.serve(Script(ehlo="502 5.5.1 what"))
    session = bench.session(server)
    assert server.sessions[0].verbs == ["EHLO", "HELO"]
    assert not session.offer.size
    assert session.offer.size_limit is None


@pytest.mark.parametrize(
    "script",
    [
        Script(greeting=HANG),
        Script(greeting=Drip("220 " + "x" * 400)),
        Script(ehlo=HANG),
        Script(ehlo=Drip("250 " + "x" * 400)),
    ],
    ids=["greeting hangs", "greeting drips", "EHLO hangs", "EHLO drips"],
)
def test_a_server_that_hangs_or_drips_is_left_in_time(bench, script):
    error = fails(bench, bench.serve(script), timeout=0.3)
    assert error.trouble is Trouble.CONNECT
    assert "timed out" in str(error)


def test_the_text_shows_no_address_that_the_server_repeats(bench):
    error = fails(bench, bench.serve(Script(greeting="554 complain to abuse@example.com")))
    assert "abuse@example.com" not in str(error)
    assert "complain to [address]" in str(error)
    assert error.reply == Reply(554, "complain to abuse@example.com")


# TLS.


@pytest.mark.parametrize("kind", ["use_tls", "use_ssl"])
def test_tls_is_spoken_before_anything_is_told(bench, certificates, kind):
    server = bench.serve(Script(users={"u": "p"}), tls=certificates.server(), implicit_tls=kind == "use_ssl")
    bench.session(
        server, host="localhost", username="u", password="p", ssl_context=certificates.client(), **{kind: True}
    )
    assert server.sessions[0].is_tls
    assert server.sessions[0].user == "u"
    assert server.sessions[0].verbs == (["EHLO", "STARTTLS", "EHLO", "AUTH"] if kind == "use_tls" else ["EHLO", "AUTH"])


@pytest.mark.parametrize("kind", ["use_tls", "use_ssl"])
def test_a_certificate_for_another_name_is_refused(bench, certificates, kind):
    server = bench.serve(tls=certificates.server("mail.example.org"), implicit_tls=kind == "use_ssl")
    error = fails(bench, server, host="localhost", ssl_context=certificates.client(), **{kind: True})
    assert error.trouble is Trouble.TLS
    assert "mismatch" in str(error).lower()


@pytest.mark.parametrize("kind", ["use_tls", "use_ssl"])
def test_an_unknown_authority_is_refused(bench, certificates, kind):
    server = bench.serve(tls=certificates.server(), implicit_tls=kind == "use_ssl")
    error = fails(bench, server, host="localhost", **{kind: True})
    assert error.trouble is Trouble.TLS
    assert "not trusted" in str(error)


def test_a_file_of_authorities_is_trusted(bench, certificates, tmp_path):
    server = bench.serve(tls=certificates.server())
    path = certificates.write_authority(tmp_path / "ca.pem")
    bench.session(server, host="localhost", use_tls=True, ssl_cafile=path)
    assert server.sessions[0].is_tls


def test_the_environment_s_authorities_are_trusted(bench, certificates, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", certificates.write_authority(tmp_path / "ca.pem"))
    server = bench.serve(tls=certificates.server())
    bench.session(server, host="localhost", use_tls=True)
    assert server.sessions[0].is_tls


def test_starttls_that_is_not_offered_is_an_error_and_never_plain_text(bench, certificates):
    server = bench.serve(Script(users={"u": "p"}))
    error = fails(
        bench, server, use_tls=True, username="u", password="p", ssl_context=certificates.client(), host="localhost"
    )
    assert error.trouble is Trouble.TLS
    assert "does not offer STARTTLS" in str(error)
    assert server.sessions[0].verbs == ["EHLO"]


@pytest.mark.parametrize(
    ("starttls", "code"),
    [
        ("454 4.7.0 not now", 454),
        ("501 5.5.4 no", 501),
        (Drop(after="220 go"), None),
    ],
)
def test_starttls_that_fails_is_an_error_and_never_plain_text(bench, certificates, starttls, code):
    server = bench.serve(Script(starttls=starttls, users={"u": "p"}), tls=certificates.server())
    error = fails(
        bench, server, use_tls=True, username="u", password="p", ssl_context=certificates.client(), host="localhost"
    )
    assert error.trouble is Trouble.TLS
    assert (error.reply.code if error.reply else None) == code
    assert server.sessions[0].verbs == ["EHLO", "STARTTLS"]


def test_a_handshake_that_hangs_is_left_in_time(bench, certificates):
    # A server that takes the connection and waits for us to speak first: TLS never begins on its side.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(MailerUnavailable) as caught:
            Session.open(
                SessionOptions(
                    host="127.0.0.1",
                    port=silent.getsockname()[1],
                    use_ssl=True,
                    ssl_context=certificates.client(),
                    timeout=0.3,
                )
            )
        client, _ = silent.accept()
        with client:
            client.settimeout(10)
            assert b"".join(iter(lambda: client.recv(65536), b"")) != b""  # the end of the connection came
    assert caught.value.trouble is Trouble.TLS
    assert "timed out" in str(caught.value)


def test_what_was_said_in_plain_text_behind_starttls_is_forgotten(bench, certificates):
    injected = b"220 go ahead\r\n250-injected\r\n250 SIZE 1\r\n"
    # The whole answer arrives in one piece, as an attacker on the line would send it.
    server = ScriptedInjection(injected, certificates.server())
    try:
        session = Session.open(
            SessionOptions(
                host="localhost", port=server.port, use_tls=True, ssl_context=certificates.client(), timeout=10
            )
        )
        assert session.offer.size_limit == 4711
        session.close()
    finally:
        server.stop()


class ScriptedInjection:
    """A server whose plain-text answer to STARTTLS holds a reply for the EHLO after it; TLS works all the same."""

    def __init__(self, injected, context):
        from mailworker.testing import ScriptedServer

        self._server = ScriptedServer(Script(starttls=injected, size=4711), tls=context).start()
        self.port = self._server.port
        self.stop = self._server.stop


def test_plain_text_on_a_port_with_implicit_tls_is_a_tls_error(bench, certificates):
    server = bench.serve()
    error = fails(bench, server, use_ssl=True, ssl_context=certificates.client(), host="localhost")
    assert error.trouble is Trouble.TLS
    assert "EMAIL_USE_TLS" in str(error)


def test_a_client_certificate_is_shown(bench, certificates, tmp_path):
    client = certificates._authority.issue_cert("client.example.com")
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    certificates._authority.configure_trust(context)
    server = bench.serve(tls=context, implicit_tls=True)
    bench.session(
        server,
        host="localhost",
        use_ssl=True,
        ssl_cafile=certificates.write_authority(tmp_path / "ca.pem"),
        ssl_certfile=str(tmp_path / "cert.pem"),
        ssl_keyfile=str(tmp_path / "key.pem"),
    )
    assert server.sessions[0].verbs == ["EHLO"]


@pytest.mark.parametrize("option", ["ssl_cafile", "ssl_certfile"])
def test_a_file_that_is_none_is_named_before_anything_is_opened(bench, option, tmp_path):
    server = bench.serve()
    for path in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").write_text("")
        with pytest.raises(ConfigurationError) as caught:
            bench.session(server, use_ssl=True, **{option: str(path)})
        assert option in str(caught.value)
        assert str(path) in str(caught.value)
    assert server.connections_ever == 0


def test_a_key_with_a_passphrase_is_an_error_and_no_question(certificates, tmp_path):
    from cryptography.hazmat.primitives import serialization

    client = certificates._authority.issue_cert("client.example.com")
    key = serialization.load_pem_private_key(client.private_key_pem.bytes(), None)
    (tmp_path / "cert.pem").write_bytes(client.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    options = SessionOptions(
        use_ssl=True, ssl_certfile=str(tmp_path / "cert.pem"), ssl_keyfile=str(tmp_path / "key.pem")
    )
    with pytest.raises(ConfigurationError, match="passphrase"):
        handshake.client_context(options)


# AUTH.

LOGIN = {"username": "ann@example.com", "password": "s3cret-Pässword"}
USERS = {LOGIN["username"]: LOGIN["password"]}


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "PLAIN", "LOGIN"])
def test_each_mechanism_logs_in_also_beyond_ascii(bench, mechanism):
    server = bench.serve(Script(users=USERS, mechanisms=[mechanism]))
    bench.session(server, **LOGIN)
    assert server.sessions[0].user == LOGIN["username"]
    assert server.sessions[0].commands[-1] == f"AUTH {mechanism}"


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "PLAIN", "LOGIN"])
def test_a_wrong_password_is_refused(bench, mechanism):
    server = bench.serve(Script(users={LOGIN["username"]: "another"}, mechanisms=[mechanism]))
    error = fails(bench, server, **LOGIN)
    assert error.trouble is Trouble.AUTH_REFUSED
    assert error.reply.code == 535
    assert "EMAIL_HOST_PASSWORD" in str(error)


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("535 5.7.8 no", Trouble.AUTH_REFUSED),
        ("534 5.7.9 too weak", Trouble.AUTH_REFUSED),
        ("530 5.7.0 STARTTLS first", Trouble.AUTH_REFUSED),
        ("454 4.7.0 not now", Trouble.AUTH_TEMPORARY),
        ("421 4.7.0 too many logins", Trouble.AUTH_TEMPORARY),
        ("432 4.7.12 change it", Trouble.AUTH_TEMPORARY),
        ("354 what", Trouble.AUTH_REFUSED),
        (DROP, Trouble.CONNECT),
        (b"junk\r\n", Trouble.GREETING),
    ],
)
def test_each_answer_to_auth_is_its_own_trouble(bench, code, trouble):
    error = fails(bench, bench.serve(Script(users=USERS, auth=code)), **LOGIN)
    assert error.trouble is trouble


def test_after_a_refusal_the_next_mechanism_is_tried(bench):
    server = bench.serve(Script(users=USERS, mechanisms=["LOGIN", "PLAIN", "CRAM-MD5"], auth=["504 no", "535 no"]))
    bench.session(server, **LOGIN)
    assert server.sessions[0].commands[1:] == ["AUTH CRAM-MD5", "AUTH PLAIN", "AUTH LOGIN"]


def test_after_a_temporary_failure_no_other_mechanism_is_tried(bench):
    server = bench.serve(Script(users=USERS, auth=["454 later"]))
    fails(bench, server, **LOGIN)
    assert server.sessions[0].commands[1:] == ["AUTH PLAIN"]


@pytest.mark.parametrize("script", [Script(), Script(users=USERS, mechanisms=["XOAUTH2", "GSSAPI"])])
def test_a_server_without_a_mechanism_that_we_know_refuses_us(bench, script):
    error = fails(bench, bench.serve(script), **LOGIN)
    assert error.trouble is Trouble.AUTH_REFUSED
    assert "PLAIN" in str(error)


def test_a_server_that_asks_without_end_is_refused(bench):
    server = bench.serve(Script(users=USERS, mechanisms=["PLAIN"], auth="334 "))
    server.behaviour.auth = "334 "
    error = fails(bench, server, timeout=0.5, **LOGIN)
    assert error.trouble in (Trouble.AUTH_REFUSED, Trouble.CONNECT)


@pytest.mark.parametrize("missing", ["username", "password"])
def test_nobody_logs_in_without_both_user_and_password(bench, missing):
    server = bench.serve(Script(users=USERS))
    bench.session(server, **(LOGIN | {missing: ""}))
    assert server.sessions[0].verbs == ["EHLO"]


def test_no_text_and_no_reply_holds_the_password_even_if_the_server_repeats_it(bench):
    secret = base64.b64encode(f"\0{LOGIN['username']}\0{LOGIN['password']}".encode()).decode()
    server = bench.serve(
        Script(users=USERS, mechanisms=["PLAIN"], auth=lambda c: f"535 5.7.8 what is {c.line} or {LOGIN['password']}?")
    )
    error = fails(bench, server, **LOGIN)
    for shown in (str(error), repr(error), str(error.reply), repr(error.__cause__)):
        assert secret not in shown
        assert LOGIN["password"] not in shown
        assert LOGIN["username"] not in shown
    assert "AUTH PLAIN ***" in error.reply.text


def test_nothing_stays_open_in_this_process_after_many_failures(bench):
    server = bench.serve(Script(users=USERS, auth="535 no"))
    fails(bench, server, **LOGIN)
    before = psutil.Process().num_fds()
    for _ in range(20):
        fails(bench, server, **LOGIN)
    assert psutil.Process().num_fds() <= before


def test_a_login_that_works_leaves_nothing_to_try(bench):
    server = bench.serve(Script(users=USERS, auth=[OK]))
    began = time.monotonic()
    session = bench.session(server, **LOGIN)
    assert session.idle <= time.monotonic() - began
    assert server.sessions[0].verbs == ["EHLO", "AUTH"]
