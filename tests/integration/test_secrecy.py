"""Nothing secret and no body in logs at DEBUG, in task reprs, or in what `inspect` shows."""

from __future__ import annotations

import json
import logging
import signal
import uuid
from base64 import b64encode
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from mailworker import EmailMessage, send_mail
from mailworker.queue import app as apps
from mailworker.testing.script import Drop, Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.processes import Worker

pytestmark = pytest.mark.integration

SUBJECT, BODY, LOCAL, PASSWORD, FILE = (
    "Plutonium-Subject",
    "Quicksilver-Body " * 50,
    "zaphod.secret",
    "Swordfish-9",
    "ledger-2026.pdf",
)


def traces(text: str) -> list[str]:
    """Return which secrets a text shows, plain or in base64."""
    lowered = text.lower()
    words = [SUBJECT, "Quicksilver", LOCAL, PASSWORD, FILE]
    found = [word for word in words if word.lower() in lowered]
    # The payload's own beginning, as it stands in the cargo.
    encoded = {b64encode(f"{pad}{word}".encode())[4:-4].decode() for word in words for pad in ("", "x", "xx")}
    return found + [chunk for chunk in encoded if chunk in text]


def message() -> EmailMessage:
    one = EmailMessage(SUBJECT, BODY, "from@example.com", [f"{LOCAL}@example.com"])
    one.attach(FILE, b"%PDF", "application/pdf")
    return one


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_the_log_of_a_worker_at_debug_shows_no_secret(
    producer: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker], pool: str
) -> None:
    address = f"{LOCAL}@example.com"
    relay.script(
        users={"mailer": PASSWORD},
        rcpt={address: ["450 4.2.0 " + address + " is busy", "250 ok", "550 5.1.1 " + address + " unknown"]},
        dot=[Drop(), "250 ok"],
    )
    worker = start_worker(
        producer, "-c", "1", "-P", pool, "-l", "DEBUG", EMAIL_HOST_USER="mailer", EMAIL_HOST_PASSWORD=PASSWORD
    )
    message().send()
    worker.wait_for("mail accepted|mail is dead")
    message().send()
    worker.wait_for("mail accepted|mail is dead", 2)
    assert "mailworker.deliver" in worker.output
    assert "payload" not in worker.output
    assert traces(worker.output) == []


def test_a_login_that_is_refused_is_an_error_that_names_the_mailer_and_no_password(
    producer: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    relay.script(users={"mailer": "another"})
    worker = start_worker(producer, "-c", "1", "-l", "DEBUG", EMAIL_HOST_USER="mailer", EMAIL_HOST_PASSWORD=PASSWORD)
    message().send()
    worker.wait_for("ERROR.*mailer relay pauses .*auth-refused")
    assert traces(worker.output) == []


def test_inspect_shows_counts_and_ids(
    producer: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    node = f"{uuid.uuid4().hex}@inspected"
    relay.script(dot=[Hang("250 ok")])
    start_worker(producer, "-c", "1", "-n", node)
    one = message()
    one.send()
    relay.wait_hanging()
    for _ in range(3):
        message().send()
    send_mail(SUBJECT, BODY, "from@example.com", [f"{LOCAL}@example.com"], delay=60)
    # By name: at RabbitMQ, workers of other tests hear the same question.
    inspect = apps.current().control.inspect(destination=[node], timeout=30, limit=1)
    seen = {name: getattr(inspect, name)() for name in ("active", "reserved", "scheduled")}
    shown = json.dumps(seen)
    assert one.mail_id is not None
    assert one.mail_id in shown
    assert "(1 mails: " in shown
    assert traces(shown) == []
    assert "payload" not in shown
    relay.release()
    relay.wait_for(4)


def test_the_log_of_a_producer_at_debug_shows_no_secret(producer: Broker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        message().send()
    assert traces(caplog.text) == []


def test_with_keys_the_broker_sees_no_address_subject_body_or_login(
    redis_broker: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    import redis

    key = Fernet.generate_key().decode()
    address = f"{LOCAL}@example.com"
    relay.script(users={"own": PASSWORD}, rcpt={address: ["450 4.2.0 later", "250 ok"]}, require_auth=True)
    with producing(redis_broker, MAILWORKER_ENCRYPTION_KEYS=[key]):
        send_mail(SUBJECT, BODY, "from@example.com", [address], auth_user="own", auth_password=PASSWORD)
        client = redis.Redis.from_url(redis_broker.url)
        queued = client.lrange(f"{redis_broker.namespace}.normal", 0, -1)
        assert len(queued) == 1
        import base64

        body = base64.b64decode(json.loads(queued[0])["body"]).decode()
        assert traces(body) == []
        assert traces(base64.b64decode(json.loads(body)[0][0]["mails"][0]["sealed"]).decode("latin-1")) == []
        start_worker(redis_broker, "-c", "1", MAILWORKER_ENCRYPTION_KEYS=key)
        relay.wait_for(1)
        assert relay.accepted[0].recipients == [address]
        client.close()


def test_cargo_that_no_key_opens_is_kept_and_goes_once_there_is_the_key(
    redis_broker: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    key, lost = Fernet.generate_key().decode(), message()
    with producing(redis_broker, MAILWORKER_ENCRYPTION_KEYS=[key]):
        lost.send()
    with producing(redis_broker):
        message().send()
        worker = start_worker(redis_broker, "-c", "1")
        relay.wait_for(1)
        from mailworker.mail.sealing import Sealer
        from mailworker.queue.dead import DeadQueue

        worker.wait_for("ERROR.*mail cannot be read: .*MAILWORKER_ENCRYPTION_KEYS")
        worker.wait_for("dead letter kept")
        (entry,) = DeadQueue(apps.current(), redis_broker.namespace, Sealer()).entries()
        assert (entry.id, entry.state, entry.mail) == (lost.mail_id, "broken", None)
        assert "MAILWORKER_ENCRYPTION_KEYS" in entry.reason
    with producing(redis_broker, MAILWORKER_ENCRYPTION_KEYS=[key]):
        start_worker(redis_broker, "-c", "1", "--lanes", "normal", MAILWORKER_ENCRYPTION_KEYS=key)
        worker.signal(signal.SIGTERM)
        worker.wait()
        queue = DeadQueue(apps.current(), redis_broker.namespace, Sealer([key]))
        assert queue.replay(None) == [lost.mail_id]
        relay.wait_for(2)
        assert queue.entries() == []
