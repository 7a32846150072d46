"""What a row of a bulk costs before it is queued, and what its message costs in the worker: `python -m tests.bench.rows`.

Plain templates of subject and text, and of subject, text and HTML in a layout, with five columns of text; each with and without
an unsubscribe link. Printed are the least CPU times of all rounds: of checking a row, writing it and deriving an id (goal: 25 us),
of checking one that has to be rendered for that, of reading it, of making the message (goal for text: 60 us), and of that as bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from mailworker import settings
from mailworker.mail import direct
from mailworker.mail.letter import Letter, RowCheck, read_row, write_row
from mailworker.mail.sealing import Sealer

_FILES = {
    "text.subject.txt": "News for {{ name }} in {{ city }}\n",
    "text.txt": "Hello {{ name }},\n\nyou have {{ points }} points. See {{ link }}\n" + "This is what is new.\n" * 20,
    "html.subject.txt": "News for {{ name }} in {{ city }}\n",
    "html.txt": "Hello {{ name }},\n\nyou have {{ points }} points. See {{ link }}\n",
    "html.html": '{% extends "base.html" %}{% block body %}<p>Hello {{ name }}, you have {{ points }} points. <a href="{{ link }}">See</a>{% endblock %}',
    "base.html": "<html><body>{% block body %}{% endblock %}" + "<p>This is what is new.</p>\n" * 40 + "</body></html>",
    # An attribute is not known before a row is there.
    "odd.subject.txt": "News for {{ name }} in {{ city }}\n",
    "odd.txt": "Hello {{ name.title() }},\n\nyou have {{ points }} points. See {{ link }}\n",
}
_ROW = {
    "email": "ann.lee@example.com",
    "name": "Ann Lée",
    "city": "Berlin",
    "points": "1200",
    "link": "https://shop.example.com/news?id=8c1f",
}
_DATE = datetime(2026, 1, 1, tzinfo=UTC)
_LINKS = {
    "MAILWORKER_UNSUBSCRIBE_URL": "https://example.com/unsubscribe/{token}",
    "MAILWORKER_UNSUBSCRIBE_KEYS": ["0123456789abcdef0123456789abcdef"],
}


def least(action: Callable[[], object], rounds: int, times: int) -> float:
    """Return the microseconds of CPU that something takes, in the best of several rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            action()
        found.append((time.process_time() - began) / times * 1e6)
    return round(min(found), 1)


def measured(template: str, rounds: int, times: int) -> dict[str, float]:
    """Return what each step costs, in microseconds."""
    letter, sealer = Letter.load(template), Sealer()
    check = RowCheck(letter, 25 * 2**20)
    check.check(_ROW)

    def enqueued() -> str:
        recipient = check.check(_ROW).recipient
        write_row(letter, _ROW, sealer)
        return hashlib.sha256(f"news\0{recipient}".encode()).hexdigest()[:32]

    row = write_row(letter, _ROW, sealer)
    values = read_row(row, sealer)[1]

    def message() -> object:
        return letter.message(values, mail_id="0" * 32, bulk="news", date=_DATE)

    made = letter.message(values, mail_id="0" * 32, bulk="news", date=_DATE)
    assert direct.rendered(made) is not None
    return {
        "row_bytes": len(row),
        "check_write_id_us": least(enqueued, rounds, times),
        "read_us": least(lambda: read_row(row, sealer), rounds, times),
        "message_us": least(message, rounds, times),
        "as_bytes_us": least(lambda: direct.rendered(made), rounds, times),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--times", type=int, default=300, help="rows of a round")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with TemporaryDirectory() as folder:
        for name, content in _FILES.items():
            (Path(folder) / name).write_text(content, encoding="utf-8")
        for links in (False, True):
            with settings.override(
                MAILWORKER_TEMPLATES=[folder],
                MAILWORKER_TEMPLATE_ENGINE="jinja2",
                DEFAULT_FROM_EMAIL="Shop <shop@example.com>",
                **(_LINKS if links else {}),
            ):
                for template in ("text", "html", "odd"):
                    found[f"{template}, {'with' if links else 'no'} link"] = measured(
                        template, asked.rounds, asked.times
                    )
    if asked.json:
        json.dump(found, sys.stdout, indent=2)
        print()
        return
    for kind, costs in found.items():
        shown = ", ".join(f"{name.removesuffix('_us')} {cost:g}" for name, cost in costs.items())
        print(f"{kind}: {shown}")


if __name__ == "__main__":
    main()
