"""How fast messages are rendered, directly and by the standard library: `python -m tests.bench.render`.

Three kinds of message, each rendered in both ways in turns in this process, so that what else the machine does hits both.
Printed are the least CPU times of all rounds and the median of the rounds' ratios; the goals are 25, 45 and 400 us.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from mailworker import mail, settings
from mailworker.mail import direct
from mailworker.mail.render import flatten
from mailworker.smtp.content import with_crlf

_HEADERS = {
    "Date": "Thu, 01 Jan 2026 00:00:00 -0000",
    "Message-ID": "<1767225600000.0123456789abcdef01234567@example.com>",
}


def messages() -> dict[str, mail.EmailMessage]:
    """Return a message of each kind."""
    text = "It is on its way, and will be with you soon.\n" * 20
    html = "<p>It is on its way, and will be with you soon.</p>\n" * 40
    asked: dict[str, Any] = {"from_email": "Shop <shop@example.com>", "to": ["ann@example.com"], "headers": _HEADERS}
    file = ("invoice.pdf", random.Random(0).randbytes(100_000), "application/pdf")
    return {
        "text": mail.EmailMessage("Your order", text, **asked),
        "text and HTML": mail.EmailMultiAlternatives("Your order", text, alternatives=[(html, "text/html")], **asked),
        "100 KB attached": mail.EmailMessage("Your order", text, attachments=[file], **asked),
    }


def standard(message: mail.EmailMessage) -> bytes:
    """Render by the standard library."""
    return with_crlf(flatten(message.message(), "\r\n"))


def directly(message: mail.EmailMessage) -> bytes:
    """Render directly."""
    content = direct.rendered(message)
    assert content is not None
    return content


def timed(way: Callable[[mail.EmailMessage], bytes], message: mail.EmailMessage, times: int) -> float:
    """Return the microseconds of CPU that one rendering takes."""
    began = time.process_time()
    for _ in range(times):
        way(message)
    return (time.process_time() - began) / times * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--times", type=int, default=20, help="renderings of a round")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    settings.configure(DEFAULT_CHARSET="utf-8")
    found: dict[str, dict[str, float]] = {}
    for kind, message in messages().items():
        rounds = [
            (timed(directly, message, asked.times), timed(standard, message, asked.times)) for _ in range(asked.rounds)
        ]
        ours, theirs = zip(*rounds, strict=True)
        found[kind] = {
            "direct_us": round(min(ours), 1),
            "standard_us": round(min(theirs), 1),
            "ratio": round(statistics.median(slow / quick for quick, slow in rounds), 1),
        }
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for kind, figures in found.items():
        sys.stdout.write(
            f"{kind:<16} {figures['direct_us']:>7} us direct  {figures['standard_us']:>7} us standard  "
            f"ratio {figures['ratio']}\n"
        )


if __name__ == "__main__":
    main()
