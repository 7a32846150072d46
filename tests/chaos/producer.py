"""A process that enqueues mails as a careful program does: what was not taken is sent again, the same object each time.

    python -m tests.chaos.producer FIRST COUNT RATE

It prints "NUMBER ID" for each mail that the queue has accepted. Most go one by one, some in lists.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from mailworker import EmailMessage, EnqueueError, enqueue
from tests.chaos.message import message

#: Mails of one list, and how many go one by one between two lists.
_LIST, _SINGLE = 20, 80

#: Seconds before what was not taken is sent again.
_PAUSE = 0.1


def main(first: int, count: int, rate: float) -> None:
    started = time.monotonic()
    number = first
    while number < first + count:
        time.sleep(max(0.0, started + (number - first) / rate - time.monotonic()))
        size = _LIST if (number - first) % (_LIST + _SINGLE) == 0 else 1
        numbers = range(number, min(number + size, first + count))
        for taken, mail in zip(numbers, _accepted([message(each) for each in numbers]), strict=True):
            sys.stdout.write(f"{taken} {mail}\n")
        sys.stdout.flush()
        number += len(numbers)


def _accepted(messages: Sequence[EmailMessage]) -> list[str]:
    """Enqueue until all are accepted, and return their ids."""
    left = list(messages)
    while left:
        try:
            enqueue(left)
            left = []
        except EnqueueError as error:
            left = [one for one in left if one.mail_id not in error.accepted]
            time.sleep(_PAUSE)
    return [one.mail_id or "" for one in messages]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
