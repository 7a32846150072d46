"""Every answer of DESIGN §9's table through a real worker: outcome, decision, and which recipients get a second try."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mailworker import EmailMessage, enqueue, get_connection
from mailworker.mail.sealing import Sealer
from mailworker.queue import app as apps
from mailworker.queue.dead import DeadQueue
from mailworker.testing.script import DROP, OK, Drop, Script
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.processes import RedisServer, Worker

pytestmark = pytest.mark.integration

A, B, C = "a@example.com", "b@example.com", "c@example.com"


@dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        script: what the relay does.
        accepted: recipients of each transaction that the relay took, in order.
        complete: how many final dots the relay has seen, if more than it took.
        dead: recipient -> (class, code) of the dead letter, if there is one.
        said: what the log says.
        sessions: how many connections it took, where that matters.
        in_doubt: the dead letter is flagged.
        then: what the relay does once `said` was said.
    """

    script: Script
    accepted: tuple[tuple[str, ...], ...] = ((A, B, C),)
    complete: int | None = None
    dead: tuple[tuple[str, str, int | None], ...] = ()
    said: str = "mail accepted"
    sessions: int | None = None
    in_doubt: bool = False
    then: Script | None = None


CASES = {
    "all taken": Case(Script()),
    "MAIL 451": Case(Script(mail=["451 4.3.0 later"]), said="mail deferred for 1 s"),
    "MAIL 550": Case(
        Script(mail="550 5.7.1 not you"),
        (),
        dead=((A, "rejected", 550), (B, "rejected", 550), (C, "rejected", 550)),
        said="mail is dead",
    ),
    "RCPT 450 for one": Case(Script(rcpt={B: ["450 4.2.0 busy"]}), ((A, C), (B,))),
    "RCPT 550 for one": Case(
        Script(rcpt={B: "550 5.1.1 unknown"}),
        ((A, C),),
        dead=((A, "accepted", 250), (B, "rejected", 550), (C, "accepted", 250)),
        said="mail is dead: rejected by the relay",
    ),
    "RCPT 552 is too many, not too large": Case(Script(rcpt={C: ["552 too many recipients"]}), ((A, B), (C,))),
    "RCPT 450 and 550": Case(
        Script(rcpt={A: "550 no", B: ["450 later"]}),
        ((C,), (B,)),
        dead=((A, "rejected", 550), (B, "accepted", 250), (C, "accepted", 250)),
        said="mail is dead",
    ),
    "DATA 451": Case(Script(data=["451 later"])),
    "DATA 554": Case(
        Script(data="554 no"), (), dead=tuple((r, "rejected", 554) for r in (A, B, C)), said="mail is dead"
    ),
    "452 to the dot": Case(Script(dot=["452 4.3.1 full"]), complete=2),
    "552 to the dot": Case(
        Script(dot="552 5.3.4 too big"), (), 1, tuple((r, "rejected", 552) for r in (A, B, C)), "mail is dead"
    ),
    "421 at MAIL": Case(Script(mail=[Drop("421 4.3.2 going down")]), sessions=2, said="mail accepted: .*attempt=1"),
    "421 at RCPT": Case(Script(rcpt={B: [Drop("421 bye")]}), sessions=2, said="mail accepted: .*attempt=1"),
    "421 twice": Case(Script(mail=[Drop("421 bye"), Drop("421 bye")]), said="mail accepted: .*attempt=2"),
    "lost at MAIL": Case(Script(mail=[DROP])),
    "lost at RCPT": Case(Script(rcpt={B: [DROP]}), said="mail accepted: .*attempt=2"),
    "lost at DATA": Case(Script(data=[DROP]), said="mail accepted: .*attempt=2"),
    "lost in the content": Case(Script(content=[DROP]), said="mail accepted: .*attempt=2"),
    "lost after the dot": Case(Script(dot=[DROP]), complete=2, said="outcomes=in-doubt"),
    "lost after the dot, always": Case(
        Script(dot=DROP),
        (),
        2,
        tuple((r, "in-doubt", None) for r in (A, B, C)),
        "mail is dead: in doubt",
        in_doubt=True,
    ),
    "greeting 421": Case(Script(greeting=[Drop("421 busy")]), said="mailer relay pauses"),
    "greeting 554": Case(Script(greeting=["554 no service"]), said="mailer relay pauses"),
    "EHLO and HELO refused": Case(Script(ehlo=["550 no"], helo=["550 no"]), said="mailer relay pauses"),
    "AUTH 454": Case(
        Script(users={"u": "p"}, auth=["454 4.7.0 later"], mechanisms=["PLAIN"]),
        said="WARNING.*mailer login pauses .*auth-temporary",
    ),
    "AUTH 535": Case(
        Script(users={"u": "p"}, auth=["535 5.7.8 no"], mechanisms=["PLAIN"]),
        said="ERROR.*mailer login pauses .*auth-refused",
    ),
    "AUTH not offered": Case(
        Script(users={}), said="ERROR.*mailer login pauses .*auth-refused", then=Script(users={"u": "p"})
    ),
    "over the size that the relay offers": Case(
        Script(size=10), (), dead=tuple((r, "rejected", None) for r in (A, B, C)), said="mail is dead"
    ),
}


@dataclass(frozen=True)
class Path:
    """One worker between a broker and a relay, for all cases."""

    broker: Broker
    relay: ScriptedServer
    worker: Worker


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with RedisServer() as redis_server, ScriptedServer() as relay:
        broker = Broker(redis_server.url, f"t{uuid.uuid4().hex[:10]}")
        where = {"host": relay.host, "port": relay.port, "timeout": 20}
        mailers = {
            "relay": {"OPTIONS": where},
            "login": {"OPTIONS": {**where, "username": "u", "password": "p"}},
        }
        env = {
            **broker.settings,
            "MAILERS": json.dumps(mailers),
            "MAILWORKER_RETRY_SCHEDULE": "1",
            "MAILWORKER_RETRY_JITTER": "0",
            "MAILWORKER_RELAY_BACKOFF": "1",
        }
        with (
            Worker(env, "-c", "1", "-P", "solo", "-l", "INFO") as worker,
            producing(broker, MAILERS=mailers),
        ):
            yield Path(broker, relay, worker)


@pytest.mark.xdist_group("relay faults")
@pytest.mark.parametrize("name", CASES)
def test_it_is_understood(name: str, path: Path) -> None:
    case, relay, worker = CASES[name], path.relay, path.worker
    dead = DeadQueue(apps.current(), path.broker.namespace, Sealer())
    dead.purge(None)
    relay.hang_up()
    relay.behaviour = case.script
    before, accepted, complete, sessions = (
        len(worker.output),
        len(relay.accepted),
        len(relay.complete),
        relay.connections_ever,
    )
    (mail_id,) = enqueue(
        EmailMessage("s", "b", "from@example.com", [A, B, C]), using="login" if "AUTH" in name else None
    )
    if case.then is not None:
        worker.wait_for(case.said, since=before)
        relay.behaviour = case.then
    relay.wait_for(accepted + len(case.accepted))
    worker.wait_for(case.said, since=before)
    if case.dead:
        worker.wait_for(f"dead letter kept: id={mail_id}", since=before)
        (entry,) = dead.entries()
        assert entry.mail is not None
        assert entry.id == mail_id
        outcomes = entry.mail.ledger.outcomes
        assert {(r, o.kind.value, o.reply.code if o.reply else None) for r, o in outcomes.items()} == set(case.dead)
        assert entry.mail.ledger.in_doubt is case.in_doubt
    elif case.accepted:
        worker.wait_for(f"mail accepted: mail_id={mail_id}", since=before)
    assert [tuple(one.recipients) for one in relay.accepted[accepted:]] == list(case.accepted)
    assert len(relay.complete) - complete == (len(case.accepted) if case.complete is None else case.complete)
    if case.sessions is not None:
        assert relay.connections_ever - sessions == case.sessions


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def test_a_421_in_the_middle_of_a_batch_costs_no_mail_an_attempt(redis_server: RedisServer, namespace: str) -> None:
    broker = Broker(redis_server.url, namespace)
    with ScriptedServer(Script(max_messages=3)) as relay, producing(broker):
        env = {**broker.settings, "EMAIL_HOST": relay.host, "EMAIL_PORT": str(relay.port)}
        with Worker(env, "-c", "1", "-P", "solo", "-l", "INFO") as worker:
            messages = [EmailMessage("s", "b", "from@example.com", [f"to{n}@example.com"]) for n in range(10)]
            get_connection().send_messages(messages)
            relay.wait_for(10)
            worker.wait_for("mail accepted: .*attempt=1", 10)
            assert [one.recipients[0] for one in relay.accepted] == [f"to{n}@example.com" for n in range(10)]


def test_the_worker_outlives_every_fault_in_turn(redis_server: RedisServer, namespace: str) -> None:
    broker = Broker(redis_server.url, namespace)
    script = Script(
        greeting=[Drop("421 x"), OK, OK, OK, OK], mail=[DROP, Drop("421 x"), "451 x"], data=[DROP], dot=[DROP, "450 x"]
    )
    with ScriptedServer(script) as relay, producing(broker):
        env = {
            **broker.settings,
            "EMAIL_HOST": relay.host,
            "EMAIL_PORT": str(relay.port),
            "MAILWORKER_RETRY_SCHEDULE": "1",
            "MAILWORKER_RELAY_BACKOFF": "1",
        }
        with Worker(env, "-c", "1", "-P", "prefork", "-l", "INFO") as worker:
            messages = [EmailMessage("s", "b", "from@example.com", [f"to{n}@example.com"]) for n in range(20)]
            get_connection().send_messages(messages)
            worker.wait_for("mail accepted", 20)
            got = {recipient for one in relay.accepted for recipient in one.recipients}
            assert got == {f"to{n}@example.com" for n in range(20)}
            assert len(relay.complete) <= 22
