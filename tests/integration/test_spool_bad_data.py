"""What cannot be read becomes a dead letter with its raw bytes, and the worker that met it goes on."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import psutil
import pytest
import redis
from cryptography.fernet import Fernet

import mailworker
from mailworker import State, enqueue, settings
from mailworker.mail.codec import Codec
from mailworker.mail.payload import MAGIC, VERSION
from mailworker.queue import app as apps
from mailworker.queue import spools
from mailworker.spool.record import Mail
from mailworker.spool.redis import RedisSpool
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.integration.spool_mails import message, status
from tests.processes import Worker, eventually

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]


def spool_here() -> RedisSpool:
    found = spools.for_producers(apps.current(), settings.current())
    assert found is not None
    return found


def state(mail_id: str) -> State:
    return status(mail_id).state


def put(payload: bytes) -> str:
    """Put bytes into the spool as if they were a message."""
    spool = spool_here()
    mail = Mail(id=uuid.uuid4().hex, payload=payload, created_at=spool.now(), due_at=spool.now())
    assert spool.put([mail]) == [True]
    return mail.id


def without_its_attachment(broker: Broker) -> str:
    """Enqueue a mail whose attachment is gone."""
    letter = message("to@example.com")
    letter.attach("a.bin", bytes(range(256)) * 400, "application/octet-stream")
    (mail_id,) = enqueue(letter)
    with redis.Redis.from_url(broker.url) as client:
        (name,) = client.scan_iter("*:content:*", count=1000)
        client.delete(name)
    return mail_id


def with_a_key_that_is_lost(broker: Broker) -> str:
    with producing(broker, MAILWORKER_ENCRYPTION_KEYS=Fernet.generate_key().decode()):
        return enqueue(message("to@example.com"))[0]


WHOLE = Codec().encode(message("to@example.com"))

BAD: dict[str, Callable[[Broker], str]] = {
    "a version from the future": lambda broker: put(MAGIC + bytes([VERSION + 98]) + WHOLE[len(MAGIC) + 1 :]),
    "bytes that were cut off": lambda broker: put(WHOLE[:-7]),
    "a byte that is not what it was": lambda broker: put(WHOLE[:-7] + bytes([WHOLE[-7] ^ 1]) + WHOLE[-6:]),
    "nothing of ours": lambda broker: put(b"\x80\x04 a pickle, maybe"),
    "no bytes at all": lambda broker: put(b""),
    "an attachment that is gone": without_its_attachment,
    "a key that is lost": with_a_key_that_is_lost,
}


def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes_and_the_mail_behind_it_goes(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    ids = {}
    raw = {}
    for what, make in BAD.items():
        # One after the other: producing() of a case ends the one around it.
        with producing(spool_broker):
            ids[what] = make(spool_broker)
        with producing(spool_broker):
            mail = spool_here().get(ids[what])
            assert mail is not None
            raw[what] = mail.payload
    worker = start_worker(spool_broker, "-c", "1")
    (child,) = psutil.Process(worker.pid).children()
    with producing(spool_broker):
        (good,) = enqueue(message("good@example.com"))
        eventually(lambda: state(good) is State.SENT, "the mail behind them")
        for what, mail_id in ids.items():
            eventually(lambda mail_id=mail_id: state(mail_id) is State.DEAD, f"a dead letter of {what}")  # type: ignore[misc]
            found = spool_here().get(mail_id)
            assert found is not None
            assert found.payload == raw[what], what
            shown = status(mail_id)
            assert shown.reason, what
            assert "@" not in shown.reason, what
            assert not shown.in_doubt, what
    assert [one.recipients for one in relay.complete] == [["good@example.com"]]
    assert psutil.Process(worker.pid).children() == [child], "the same child has met them all"
    worker.wait_for("mail is dead: its payload cannot be read", len(BAD))
    assert "Traceback" not in worker.output


def test_a_mail_whose_key_is_found_again_is_sent_when_it_is_replayed(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    key = Fernet.generate_key().decode()
    other = Fernet.generate_key().decode()
    with producing(spool_broker, MAILWORKER_ENCRYPTION_KEYS=key):
        (mail_id,) = enqueue(message("to@example.com"))
        worker = start_worker(spool_broker, "-c", "1", MAILWORKER_ENCRYPTION_KEYS=other)
        eventually(lambda: state(mail_id) is State.DEAD, "a dead letter")
        worker.close()
        start_worker(spool_broker, "-c", "1", MAILWORKER_ENCRYPTION_KEYS=f"{other},{key}")
        assert mailworker.replay(mail_id)
        eventually(lambda: state(mail_id) is State.SENT, "the mail")
    assert [one.recipients for one in relay.complete] == [["to@example.com"]]
