"""A large mail adds at most twice its size to the memory of the worker that sends it, whatever is in it and however many there were."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from mailworker.testing.script import Script
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.large_mails import KINDS, Scales, scales

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's own figures are Linux's"),
]

#: Octets on the wire. What is true of 25 MB is true of it, in less time.
SIZE = 16_000_000

#: Memory over size, at the most: what is sent and what it is made of, which of a file is not yet in base64.
FACTORS = {"file": 1.75, "ascii": 2.0, "latin": 2.0, "quotes": 2.0, "emoji": 2.0, "html": 2.0, "quoted": 1.92}

#: Octets beside it, whatever the size: blocks on their way, and pages of the program that are touched for the first time. Seen
#: were 200,000 to 1,000,000, the most of it where a child touches what it shares with its parent since the fork.
BESIDE = 1_200_000


@pytest.fixture(params=["plain", "encrypted"])
def weigh(request: pytest.FixtureRequest, spool_broker: Broker) -> Iterator[Scales]:
    """Enqueue for a worker of one process."""
    keys = {"MAILWORKER_ENCRYPTION_KEYS": Fernet.generate_key().decode()} if request.param == "encrypted" else {}
    with (
        ScriptedServer(Script(size=None)) as relay,
        producing(spool_broker, **keys),
        scales(relay, {**spool_broker.settings, **keys}) as found,
    ):
        yield found


def test_a_large_mail_adds_at_most_twice_its_size_and_leaves_nothing_behind(weigh: Scales) -> None:
    # One worker for all of them: what one leaves behind counts for the next.
    messages = [(kind, make(SIZE)) for kind, make in KINDS.items()]
    messages.append(("file", KINDS["file"](SIZE)))
    costs = [(kind, weigh.weighed(message)) for kind, message in messages]
    too_much = [
        f"{kind}: {(cost.added - BESIDE) / cost.size:.3f} times its size, expected at most {FACTORS[kind]}"
        for kind, cost in costs
        if cost.added > FACTORS[kind] * cost.size + BESIDE
    ]
    assert not too_much
    assert all(cost.size > SIZE * 0.9 for _, cost in costs)
