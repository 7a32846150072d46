"""A process that queues a mail with `send_mail` for each row of a list, with the words that a bulk's letter would have for it.

python -m tests.bench.bulk.singles LETTER ROWS FIRST COUNT
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from mailworker import send_mail
from mailworker.mail.letter import Letter


def rows(path: Path, first: int, count: int) -> Iterator[dict[str, str]]:
    """Yield rows of a list, from a number on."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from islice(csv.DictReader(file), first, first + count)


def main(letter_name: str, path: Path, first: int, count: int) -> None:
    letter = Letter.load(letter_name)
    now = datetime.now(UTC)
    for row in rows(path, first, count):
        message = letter.message(row, mail_id="0" * 32, bulk="", date=now)
        html = next((str(each.content) for each in message.alternatives), None)
        send_mail(message.subject, message.body, None, [row["email"]], html_message=html)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
