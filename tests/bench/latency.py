"""How long a password reset takes behind a newsletter: `python -m tests.bench.latency`.

A worker with one slot sends a full `bulk` lane to a relay that takes 100 ms a mail. Meanwhile single mails go into lane
`high`; measured is from before `send_mail` to the relay's 250. The goal is p95 < 300 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import mailworker
from mailworker import EmailMessage, settings
from mailworker.queue import app as apps
from tests.bench.relay import Relay
from tests.processes import RedisServer, Worker


def measured(mails: int, seconds: float, bulk: int) -> list[float]:
    """Return the seconds that each mail of lane `high` took."""
    with Relay(seconds) as relay, RedisServer() as redis:
        env = {
            "MAILWORKER_BROKER_URL": redis.url,
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(relay.port),
            "DEFAULT_FROM_EMAIL": "shop@example.com",
        }
        apps.uninstall()
        with settings.override(MAILWORKER_BROKER_URL=redis.url, DEFAULT_FROM_EMAIL="shop@example.com"):
            letters = (EmailMessage("News", "Text.", to=[f"reader{n}@example.com"]) for n in range(bulk))
            mailworker.enqueue(letters, lane="bulk")
            with Worker(env, "-c", "1"):
                until(lambda: len(relay.taken) > 10)
                took = []
                for number in range(mails):
                    recipient = f"reset{number}@example.com"
                    began = time.monotonic()
                    mailworker.send_mail("Password", "Your link.", None, [recipient], lane="high")
                    until(partial(relay.taken.__contains__, recipient))
                    took.append(relay.taken[recipient] - began)
                    # Not in step with the relay.
                    time.sleep(0.05 + 0.9 * seconds * ((number * 0.618) % 1))
                sent = sum(recipient.startswith("reader") for recipient in relay.taken)
                assert sent < bulk, "the bulk lane was not full all the time"
        apps.uninstall()
    return took


def until(is_so: Callable[[], bool], patience: float = 60.0) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > ends:
            raise SystemExit("the mail did not come")
        time.sleep(0.001)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.1, help="that the relay takes for a mail")
    parser.add_argument("--bulk", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    took = sorted(measured(asked.mails, asked.seconds, asked.bulk))
    found = {
        "mails": len(took),
        "relay_seconds": asked.seconds,
        "p50_ms": round(statistics.median(took) * 1000, 1),
        "p95_ms": round(took[int(len(took) * 0.95)] * 1000, 1),
        "max_ms": round(took[-1] * 1000, 1),
    }
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:<14} {value}\n")


if __name__ == "__main__":
    main()
