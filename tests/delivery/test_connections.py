"""Long-lived connections: one a slot and mailer, reopened when dead, closed when idle."""

from __future__ import annotations

import os
import smtplib
import ssl
import threading
from collections import Counter

import pytest

from mailworker.delivery.connections import Connections, Login
from mailworker.delivery.foreign import unavailable
from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble
from mailworker.mail.backends.smtp import EmailBackend
from mailworker.mail.message import EmailMessage
from mailworker.testing.smtpd import ScriptedServer
from tests.delivery.foreign import ForeignBackend


class Factory:
    def __init__(self) -> None:
        self.made: list[tuple[str, Login, ForeignBackend]] = []

    def __call__(self, mailer: str, login: Login) -> ForeignBackend:
        backend = ForeignBackend()
        self.made.append((mailer, login, backend))
        return backend


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_slot_keeps_its_connection_from_one_use_to_the_next() -> None:
    made = Factory()
    connections = Connections(made, idle_timeout=60)
    with connections.use("relay") as first, connections.use("other") as other:
        assert other is not first
    with connections.use("relay") as second:
        assert second is first
    assert [mailer for mailer, _, _ in made.made] == ["relay", "other"]
    assert made.made[0][2].closed == 0
    connections.close_all()
    assert made.made[0][2].closed == 1


def test_another_login_has_a_connection_of_its_own() -> None:
    made = Factory()
    connections = Connections(made, idle_timeout=60)
    with connections.use("relay"), connections.use("relay", ("user", "secret")):
        pass
    assert [login for _, login, _ in made.made] == [None, ("user", "secret")]
    connections.close_all()


def test_two_threads_have_a_connection_each() -> None:
    made = Factory()
    connections = Connections(made, idle_timeout=60)
    both = threading.Barrier(2)

    def work() -> None:
        with connections.use("relay"):
            both.wait(10)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(backend) for _, _, backend in made.made}) == 2
    connections.close_all()


def test_a_failure_inside_closes_the_connection() -> None:
    made = Factory()
    connections = Connections(made, idle_timeout=60)
    with pytest.raises(MailerUnavailable), connections.use("relay"):
        raise MailerUnavailable("lost", Trouble.CONNECT)
    assert made.made[0][2].closed == 1
    connections.close_all()


def test_what_lies_idle_too_long_is_closed_and_what_is_in_use_is_not() -> None:
    made, clock = Factory(), Clock()
    connections = Connections(made, idle_timeout=9, clock=clock)
    with connections.use("idle"):
        pass
    clock.now += 8
    assert connections.close_idle() == pytest.approx(1.0)
    with connections.use("busy"):
        clock.now += 20
        connections.close_idle()
        assert {m: b.closed for m, _, b in made.made} == {"idle": 1, "busy": 0}
    connections.close_all()


def test_a_stale_connection_is_closed_before_it_is_opened_anew() -> None:
    made, clock = Factory(), Clock()
    connections = Connections(made, idle_timeout=9, clock=clock)
    with connections.use("relay"):
        pass
    clock.now += 10
    with connections.use("relay") as backend:
        assert (backend.closed, backend.opened) == (1, 2)
    connections.close_all()


def test_a_backend_that_says_how_long_it_may_be_idle_is_closed_then() -> None:
    made, clock = Factory(), Clock()
    connections = Connections(made, idle_timeout=9, clock=clock)
    for mailer, max_idle in (("short", 2.0), ("long", 60.0), ("odd", "soon")):
        with connections.use(mailer) as backend:
            backend.max_idle = max_idle
    connections.close_all()
    # It is asked once, when it is made.
    connections = Connections(lambda mailer, _: next(b for m, _, b in made.made if m == mailer), 9, clock)
    for mailer in ("short", "long", "odd"):
        with connections.use(mailer):
            pass
    closed = Counter(mailer for mailer, _, backend in made.made for _ in range(backend.closed))
    clock.now += 2
    assert connections.close_idle() == pytest.approx(7)
    clock.now += 7
    assert connections.close_idle() == pytest.approx(51)
    assert Counter(m for m, _, b in made.made for _ in range(b.closed)) - closed == Counter(["short", "odd"])
    with connections.use("long") as backend:
        assert backend.opened == 3
    connections.close_all()


def test_a_short_idle_time_is_kept_although_a_longer_one_was_waited_for() -> None:
    closed = threading.Semaphore(0)

    def build(mailer: str, login: Login) -> ForeignBackend:
        backend = ForeignBackend()
        backend.max_idle = {"short": 0.01, "long": 60.0}[mailer]
        if mailer == "short":
            backend.close = closed.release  # type: ignore[method-assign]
        return backend

    connections = Connections(build, idle_timeout=60)
    with connections.use("long"):
        pass
    # And when it is opened again.
    for _ in range(3):
        with connections.use("short"):
            pass
        assert closed.acquire(timeout=30)
    connections.close_all()


def test_the_max_idle_of_a_mailer_decides_how_long_its_session_is_kept() -> None:
    clock = Clock()
    with ScriptedServer() as server:
        connections = Connections(
            lambda *_: EmailBackend(server.host, server.port, max_idle=60.0, reset_after=50.0), 9, clock
        )
        for _ in range(2):
            with connections.use("relay") as backend:
                backend.send_messages([EmailMessage("s", "b", "from@example.com", ["to@example.com"])])
            clock.now += 10
            connections.close_idle()
        assert server.connections_ever == 1
        connections.close_all()


def test_the_slot_of_a_thread_that_ended_is_forgotten() -> None:
    made, clock = Factory(), Clock()
    connections = Connections(made, idle_timeout=9, clock=clock)

    def work() -> None:
        with connections.use("relay"):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    clock.now += 10
    connections.close_idle()
    assert made.made[0][2].closed == 1
    assert connections._slots == {}


def test_a_forked_child_never_uses_or_closes_what_its_parent_opened() -> None:
    made = Factory()
    connections = Connections(made, idle_timeout=60)
    with connections.use("relay") as parents:
        pass
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with connections.use("relay") as childs:
            answer = b"own" if childs is not parents else b"parent's"
        connections.close_all()
        os.write(write, answer + b" %d" % parents.closed)
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"own 0"
    connections.close_all()


def test_a_backend_that_cannot_be_built_is_a_trouble_of_the_mailer() -> None:
    def build(mailer: str, login: Login) -> ForeignBackend:
        raise ConfigurationError("MAILERS['relay'] is wrong")

    with pytest.raises(MailerUnavailable, match="MAILERS") as caught, Connections(build).use("relay"):
        pass
    assert caught.value.trouble is Trouble.CONFIGURATION


@pytest.mark.parametrize(
    ("error", "trouble", "code"),
    [
        (ConnectionRefusedError(), Trouble.CONNECT, None),
        (TimeoutError(), Trouble.CONNECT, None),
        (ssl.SSLCertVerificationError(), Trouble.TLS, None),
        (smtplib.SMTPConnectError(421, b"busy"), Trouble.GREETING, 421),
        (smtplib.SMTPAuthenticationError(535, b"no"), Trouble.AUTH_REFUSED, 535),
        (smtplib.SMTPAuthenticationError(454, b"later"), Trouble.AUTH_TEMPORARY, 454),
        (RuntimeError(), Trouble.CONNECT, None),
    ],
)
def test_whatever_a_foreign_backend_raises_on_open_is_one_trouble(
    error: Exception, trouble: Trouble, code: int | None
) -> None:
    def refuse() -> None:
        raise error

    connections = Connections(lambda _mailer, _login: ForeignBackend(on_open=refuse))
    with pytest.raises(MailerUnavailable) as caught, connections.use("relay"):
        pass
    assert caught.value.trouble is trouble
    assert (caught.value.reply.code if caught.value.reply else None) == code
    assert unavailable("relay", caught.value) is caught.value
    connections.close_all()
