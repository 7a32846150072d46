"""With encryption keys, whoever has all of Redis reads no subject, body, address, file name, password or reply."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet

from mailworker.mail.codec import Codec
from mailworker.mail.message import EmailMessage
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.base import Leased, Limits
from mailworker.spool.record import Content, Mail, State
from mailworker.spool.redis import RedisSpool
from tests import processes
from tests.direct import Direct
from tests.spool.harness import LEASE, claim, claim_one, new_mail, put

pytestmark = pytest.mark.integration

OLD, NEW = Fernet.generate_key(), Fernet.generate_key()
ATTACHMENT = b"the-salaries-of-everybody " * 4000

#: What must not be found, in any form.
SECRETS = {
    "subject": b"Quarterly-subject-4711",
    "body": b"the-body-that-nobody-reads",
    "sender": b"secret-sender@example.org",
    "recipient": b"someone.private@customers.example",
    "recipient's name": b"someone.private",
    "recipient's domain": b"customers.example",
    "file name": b"salaries-2026.csv",
    "attachment": ATTACHMENT[:52],
    "digest of the attachment": hashlib.sha256(ATTACHMENT).digest(),
    "digest in hexadecimal digits": hashlib.sha256(ATTACHMENT).hexdigest().encode(),
    "user": b"relay-user-9",
    "password": b"pa55word-of-the-relay",
    "reply": b"mailbox-of-someone-unavailable",
    "reason": b"a-reason-to-hold",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[redis.Redis]:
    with processes.RedisServer("--dir", str(folder), "--rdbcompression", "no") as server:
        yield redis.Redis(port=server.port)


def spool_with(client: redis.Redis, *keys: bytes) -> RedisSpool:
    return RedisSpool(Direct(client), "secret", sealing=Codec(keys).sealer)


def secret_mail(spool: RedisSpool, codec: Codec, **fields: Any) -> Mail:
    message = EmailMessage(
        SECRETS["subject"].decode(),
        SECRETS["body"].decode() * 30,
        SECRETS["sender"].decode(),
        [SECRETS["recipient"].decode()],
    )
    message.attach(SECRETS["file name"].decode(), ATTACHMENT, "text/csv")
    login = (SECRETS["user"].decode(), SECRETS["password"].decode()) if codec.sealer.has_keys else None
    parts = codec.encode_parts(message, login)
    assert len(parts.blobs) == 1

    def name(digest: bytes) -> str:
        return codec.sealer.mark(digest) if codec.sealer.has_keys else digest.hex()

    contents = tuple(Content(name(blob.digest), blob.stored) for blob in parts.blobs)
    return new_mail(spool, payload=parts.head, contents=contents, **fields)


def outcomes() -> dict[str, Outcome]:
    reply = Reply(450, SECRETS["reply"].decode(), "4.2.0")
    return {SECRETS["recipient"].decode(): Outcome(OutcomeClass.DEFERRED, reply)}


def lived(spool: RedisSpool, codec: Codec) -> None:
    """Let mails come into every state."""
    reason = SECRETS["reason"].decode()
    assert all(spool.put([secret_mail(spool, codec, group="news", domain="customers.example") for _ in range(7)]))
    due, leased, sent, held, dead, cancelled = claim(spool, 6)
    assert spool.defer(due, spool.now() + 1000, outcomes())
    assert spool.mark(leased, LEASE)
    assert spool.done(sent, {SECRETS["recipient"].decode(): Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok"))})
    assert spool.hold(held, outcomes(), reason)
    assert spool.bury(dead, outcomes(), reason)
    assert spool.hold(cancelled, outcomes(), reason)
    assert spool.cancel(cancelled.mail.id)


def dumped(client: redis.Redis, folder: Path) -> bytes:
    """Return all that Redis has: keys, values in every form that it shows them in, and its file."""
    readers: dict[Any, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    found: list[bytes] = []
    for key in client.scan_iter():
        found += [key, client.dump(key) or b"", *_pieces(readers[client.type(key)](key))]
    client.save()
    return b"\n".join([*found, (folder / "dump.rdb").read_bytes()])


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        for one in value.items():
            yield from _pieces(one)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _pieces(each)


def forms(secret: bytes) -> Iterator[bytes]:
    """Yield the forms that a secret might be found in: itself, in JSON, and in base64 wherever it starts in it."""
    yield secret
    yield json.dumps(secret.decode("latin-1"))[1:-1].encode()
    yield secret.hex().encode()
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + secret)
        # The ends mix with what stands beside them.
        yield text[4:-4]


def inflated(everything: bytes) -> bytes:
    """Return what comes out of every deflate stream that starts somewhere."""
    found = []
    for header in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        at = everything.find(header)
        while at >= 0:
            with suppress(zlib.error):
                found.append(zlib.decompressobj().decompress(everything[at:], 2**20))
            at = everything.find(header, at + 1)
    return b"\n".join(found)


def told(everything: bytes) -> set[str]:
    shown = everything + b"\n" + inflated(everything)
    return {name for name, secret in SECRETS.items() if any(form in shown for form in forms(secret))}


def test_a_dump_shows_nothing(client, folder):
    lived(spool_with(client, OLD), Codec([OLD]))
    assert told(dumped(client, folder)) == set()


def test_the_search_finds_all_of_it_where_there_is_no_key(client, folder):
    # Or the test above would prove nothing. A login does not travel without a key.
    lived(spool_with(client), Codec())
    assert told(dumped(client, folder)) == SECRETS.keys() - {"user", "password"}


def test_nothing_of_it_is_in_a_log_or_an_exception_when_a_record_is_damaged(client, caplog):
    caplog.set_level(logging.DEBUG)
    spool = spool_with(client, OLD)
    lived(spool, Codec([OLD]))
    for key in client.scan_iter("{secret}:m:*"):
        client.set(key, b"x" + (client.get(key) or b""))
    for state in State:
        spool.ids(state)
    claim(spool)
    assert len(spool.ids(State.DEAD)) > 3
    assert caplog.messages
    assert told(caplog.text.encode()) == set()


def test_a_domain_stands_in_the_clear_only_where_its_limits_need_it(client, folder):
    limits = {"relay": Limits(domain_concurrency={"capped.example": 1})}
    spool = RedisSpool(Direct(client), "secret", sealing=Codec([OLD]).sealer, limits=limits)
    fields = {"payload": b"sealed"}
    capped = [new_mail(spool, domain="Capped.example", **fields) for _ in range(2)]
    other = new_mail(spool, domain="customers.example", **fields)
    assert spool.put([*capped, other]) == [True] * 3
    found = {leased.mail.id: leased for leased in claim(spool)}
    assert {mail_id: leased.mail.domain for mail_id, leased in found.items()} == {
        capped[0].id: "Capped.example",
        other.id: None,
    }
    assert b"customers.example" not in dumped(client, folder)
    assert spool.snooze(found[capped[0].id], spool.now() + 900)
    assert [leased.mail.id for leased in claim(spool)] == [capped[1].id]


def test_without_keys_every_mail_keeps_its_domain(client):
    spool = spool_with(client)
    assert spool.put([new_mail(spool, domain="customers.example")]) == [True]
    assert claim_one(spool).mail.domain == "customers.example"


def test_after_a_rotation_old_mails_are_read_and_new_ones_share_their_contents(client):
    old, both = spool_with(client, OLD), spool_with(client, NEW, OLD)
    assert all(old.put([secret_mail(old, Codec([OLD]))]))
    first = claim_one(old)
    assert old.defer(first, old.now(), outcomes())
    assert all(both.put([secret_mail(both, Codec([NEW, OLD]))]))
    assert len(client.keys("{secret}:content:*")) == 1
    for leased in claim(both):
        message = Codec([NEW, OLD]).decode_parts(
            leased.mail.payload, [content.stored or b"" for content in leased.mail.contents]
        )
        assert message.attachments[0][1].encode() == ATTACHMENT
    status = both.status(first.mail.id)
    assert status is not None
    assert status.outcomes == outcomes()
    mine = {SECRETS["recipient"].decode(): Outcome(OutcomeClass.REJECTED, Reply(550, "no"))}
    # The same recipient has one place in the ledger, whichever key seals what is said of him.
    assert both.bury(claim_again(both, first.mail), mine, SECRETS["reason"].decode())
    status = both.status(first.mail.id)
    assert status is not None
    assert (status.outcomes, status.reason) == (mine, SECRETS["reason"].decode())


def claim_again(spool: RedisSpool, mail: Mail) -> Any:
    """Return the lease of a mail that was claimed beside others."""
    record: Any = spool._server.run(lambda client: client.get(f"{{secret}}:m:{mail.id}"))
    return Leased(mail, json.loads(record.partition(b"\n")[0])["t"], 0.0)


def test_a_ledger_whose_key_is_gone_says_so_and_is_still_a_mail(client):
    old, new = spool_with(client, OLD), spool_with(client, NEW)
    mails = [secret_mail(old, Codec([OLD])) for _ in range(2)]
    assert all(old.put(mails))
    first, second = claim(old)
    accepted = {"a@a.org": Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok"))}
    assert old.defer(first, old.now(), {**outcomes(), **accepted})
    assert old.bury(second, outcomes(), SECRETS["reason"].decode())
    for reader in (new, spool_with(client)):
        status = reader.status(second.mail.id)
        assert status is not None
        assert "key that is not here" in status.reason
        (outcome,) = status.outcomes.values()
        assert outcome.kind is OutcomeClass.DEFERRED
        assert reader.get(second.mail.id) is not None
    leased = claim_one(new)
    assert leased.mail.id == first.mail.id
    assert len(leased.mail.ledger.accepted) == 1
    assert new.snooze(leased, new.now())
    assert new.ids(State.DEAD) == [second.mail.id]


@pytest.mark.parametrize("how", ["keys are set", "keys are taken away"])
def test_who_was_accepted_is_known_after_keys_were_set_and_never_guessed_after_they_were_taken_away(client, how):
    plain, sealed = RedisSpool(Direct(client), "s"), RedisSpool(Direct(client), "s", sealing=Sealer([OLD]))
    before, after = (plain, sealed) if how == "keys are set" else (sealed, plain)
    (mail,) = put(before)
    first = {"ann@x.org": Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok")), "bob@x.org": Outcome(OutcomeClass.DEFERRED)}
    assert before.defer(claim_one(before), before.now(), first)
    leased = claim_one(after)
    if how == "keys are taken away":
        assert not leased.mail.ledger.is_complete, "nobody may be tried: ann has it, and is not to be recognized"
        return
    assert leased.mail.ledger.is_complete
    assert leased.mail.ledger.accepted == {"ann@x.org"}
    assert leased.mail.ledger.outcomes["ann@x.org"].reply == Reply(250, "ok")
    assert after.defer(leased, after.now(), {"bob@x.org": Outcome(OutcomeClass.REJECTED, Reply(550, "no"))})
    status = after.status(mail.id)
    assert status is not None
    assert {recipient: outcome.kind.value for recipient, outcome in status.outcomes.items()} == {
        "ann@x.org": "accepted",
        "bob@x.org": "rejected",
    }
