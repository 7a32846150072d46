"""How long a password reset takes while a bulk runs: from before `send_mail` in lane `high` to the relay's 250.

Two worker processes send the bulk all the while. The relay is a server of ours in a thread of this process, which tells when it
has answered whom; it is asked so often that this takes time from nobody, and what it takes itself is in the figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import mailworker
from mailworker import settings
from mailworker.queue import app as apps
from tests.bench.bulk.place import opened
from tests.bench.child import ChildError
from tests.bench.latency import until
from tests.bulk_list import Kind, write_to
from tests.chaos.sink import Sink

#: Of the worker.
_PROCESSES = 2

#: Mails of the bulk that go before the first of them.
_WARM = 20


def measured(
    seconds: float, mails: int, rows: int, tell: Callable[[str], None] = lambda text: None
) -> dict[str, float]:
    """Return p50, p95 and the most, in milliseconds, and how fast the bulk went meanwhile.

    Args:
        seconds: that the relay takes for a mail.
        mails: of lane `high`, one at a time.
        rows: of the bulk: more than are sent meanwhile.
        tell: hears what happens.

    Raises:
        ChildError: the bulk has ended before the last of them.
    """
    with opened(None, seconds) as place:
        relay = place.receiver
        assert isinstance(relay, Sink)
        write_to(place.rows, rows, lambda kind: kind is Kind.GOOD)
        tell(f"relay of {seconds * 1000:.0f} ms a mail: queues {rows:,} rows")
        place.fill("html")
        apps.uninstall()
        ours = {name: place.env[name] for name in ("MAILWORKER_BROKER_URL", "DEFAULT_FROM_EMAIL")}
        with settings.override(**ours), place.worker("-c", str(_PROCESSES)):
            until(lambda: relay.count() >= _WARM)
            tell(f"relay of {seconds * 1000:.0f} ms a mail: sends {mails} mails in lane high")
            began, before = time.monotonic(), relay.count()
            took = sorted(_one(relay, number, seconds) for number in range(mails))
            rate = (relay.count() - before) / (time.monotonic() - began)
            left = place.bulk().left
        apps.uninstall()
    if not left:
        raise ChildError(f"the bulk of {rows:,} rows has ended too early: it needs more of them")
    return {
        "p50_ms": statistics.median(took) * 1000,
        "p95_ms": took[int(len(took) * 0.95)] * 1000,
        "most_ms": took[-1] * 1000,
        "bulk_rate": rate,
    }


def _one(relay: Sink, number: int, seconds: float) -> float:
    recipient = f"reset{number}@example.com"
    # Not in step with the relay.
    time.sleep(0.05 + (0.1 + 0.9 * seconds) * ((number * 0.618) % 1))
    began = time.monotonic()
    mailworker.send_mail("Password", "Your link.", None, [recipient], lane="high")
    until(partial(relay.answered.__contains__, recipient))
    return relay.answered[recipient] - began
