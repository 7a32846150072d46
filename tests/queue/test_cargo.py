"""What a task carries: mails to plain JSON and back, and what is no mail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from mailworker.lane import LANES, Lane
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.queue import cargo
from mailworker.queue.dispatch import MAX_CHUNK, MAX_CHUNK_BYTES, chunks
from mailworker.spool.record import Ledger, Mail

PLAIN = Sealer()
SEALED = Sealer([Fernet.generate_key()])

times = st.floats(0, 4e9)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
replies = st.builds(Reply, st.integers(200, 599), texts, st.none() | st.just("4.2.0"))
outcomes = st.builds(Outcome, st.sampled_from(OutcomeClass), replies) | st.builds(
    Outcome, st.sampled_from(OutcomeClass), st.none(), texts
)
ledgers = st.builds(
    Ledger,
    outcomes=st.dictionaries(texts, outcomes, max_size=3),
    attempts=st.integers(0, 99),
    first_attempt_at=st.none() | times,
    snoozed=times,
    lapses=st.integers(0, 3),
    in_doubt=st.booleans(),
    in_doubt_resends=st.integers(0, 3),
    reason=texts,
)
mails = st.builds(
    Mail,
    id=st.uuids().map(lambda one: one.hex),
    payload=st.binary(max_size=200),
    mailer=texts,
    lane=st.sampled_from(Lane),
    created_at=times,
    due_at=times,
    expires_at=st.none() | times,
    fail_silently=st.booleans(),
    on_in_doubt=st.sampled_from(["resend", "hold"]),
    group=st.none() | texts,
    domain=st.none() | texts,
    ledger=ledgers,
)


@given(st.lists(mails, max_size=4), st.sampled_from([PLAIN, SEALED]))
def test_mails_come_out_as_they_went_in(several: list[Mail], sealer: Sealer) -> None:
    travelled = json.loads(json.dumps(cargo.pack(several, sealer)))
    assert cargo.unpack(travelled, sealer) == (several, [])
    assert cargo.ids(travelled) == [mail.id for mail in several]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(json_values, st.sampled_from([PLAIN, SEALED]))
def test_whatever_comes_is_read_or_kept_as_broken_and_never_raises(value: Any, sealer: Sealer) -> None:
    read, broken = cargo.unpack(value, sealer)
    assert read == []
    entries = (
        value["mails"]
        if isinstance(value, dict) and value.get("v") == 1 and isinstance(value.get("mails"), list)
        else [value]
    )
    assert [one.entry for one in broken] == entries
    cargo.ids(value)


@given(mails, st.data())
def test_a_damaged_field_breaks_its_own_entry_and_not_the_one_beside_it(mail: Mail, data: st.DataObject) -> None:
    packed = cargo.pack([mail, mail], PLAIN)
    field = data.draw(st.sampled_from(sorted(packed["mails"][0])))
    del packed["mails"][0][field]
    read, broken = cargo.unpack(packed, PLAIN)
    assert read == [mail]
    assert len(broken) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e400, -1e400, "soon"])
@pytest.mark.parametrize(
    "field", ["due_at", "created_at", "expires_at", "attempts", "snoozed", "first_attempt_at", "lapses"]
)
def test_a_number_that_is_none_breaks_its_own_entry_alone(field: str, value: Any) -> None:
    good = Mail(id="0" * 32, payload=b"x")
    packed = json.loads(json.dumps(cargo.pack([good, good], PLAIN)))
    entry = packed["mails"][0]
    (entry if field in entry else entry["ledger"])[field] = value
    read, broken = cargo.unpack(packed, PLAIN)
    assert read == [good]
    assert len(broken) == 1


def test_a_sealed_mail_needs_its_key() -> None:
    packed = cargo.pack([Mail(id="0" * 32, payload=b"x")], SEALED)
    for stranger in (PLAIN, Sealer([Fernet.generate_key()])):
        read, broken = cargo.unpack(packed, stranger)
        assert read == []
        assert "MAILWORKER_ENCRYPTION_KEYS" in broken[0].reason


def test_a_task_shows_how_many_mails_it_carries_and_which() -> None:
    assert cargo.shown(["a", "b"]) == "(2 mails: a, b)"
    assert cargo.shown([str(n) for n in range(12)]).endswith("9, ...)")


@given(st.lists(st.tuples(st.integers(0, 3 * MAX_CHUNK_BYTES // 2), st.sampled_from(LANES)), max_size=130))
def test_chunks_keep_every_mail_and_their_bounds(sizes: list[tuple[int, Lane]]) -> None:
    several = [Mail(id=f"{n:032x}", payload=bytes(size), lane=lane) for n, (size, lane) in enumerate(sizes)]
    cut = list(chunks(several))
    assert [mail for chunk in cut for mail in chunk] == several
    for chunk in cut:
        assert len(chunk) <= MAX_CHUNK
        assert len(chunk) == 1 or sum(len(mail.payload) for mail in chunk) <= MAX_CHUNK_BYTES
        assert len({mail.lane for mail in chunk}) == 1


@pytest.mark.parametrize("count", [0, 1, 5])
def test_mails_that_travel_alone_have_a_task_each(count: int) -> None:
    several = [Mail(id=f"{n:032x}", payload=b"x") for n in range(count)]
    assert list(chunks(several, alone=True)) == [[mail] for mail in several]
