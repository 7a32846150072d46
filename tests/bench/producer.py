"""A process that queues mails, as a program of a user's does; printed is how long it took, as JSON.

    python -m tests.bench.producer HOW LETTER FIRST COUNT [--timed]

With BENCH_BACKEND it is a Django project that sends through that backend, without it one that uses mailworker; below the import
the code is the same. `single` is a `send_mail` for each mail (with an attachment: an `EmailMessage` that is sent), `mass` calls of
`send_mass_mail`, `enqueue` mailworker's generator. With --timed each call is timed alone, after one that is not.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tests.bench.letters import ATTACHMENT, BODY, SENDER, SUBJECT, Letter, attachment, recipient

#: Mails in a call of send_mass_mail: as many as fit any program's memory, and more than any chunk that is tried.
MASS = 1000

#: Sends in one transaction where nothing is timed, for peers with a database: only the drain counts then.
_TRANSACTION = 500


def _api() -> Any:
    """Return the module with `send_mail` and its like."""
    if "BENCH_BACKEND" not in os.environ:
        import mailworker

        return mailworker
    import django

    if "BENCH_BROKER" in os.environ:
        # The app that a task goes to is the one that was made last.
        from tests.bench.peers import celery_app

        assert celery_app.app is not None
    django.setup()
    from django.core import mail

    return mail


def _transaction() -> AbstractContextManager[Any]:
    """Return what many sends may stand in together."""
    if "BENCH_BACKEND" not in os.environ or "BENCH_BROKER" in os.environ:
        return nullcontext()
    from django.db import transaction

    context: AbstractContextManager[Any] = transaction.atomic()
    return context


def _one(api: Any, letter: Letter) -> Callable[[int], Any]:
    """Return what sends the mail of a number."""
    send_mail, message_class = api.send_mail, api.EmailMessage
    if letter is Letter.SMALL:
        return lambda number: send_mail(SUBJECT, BODY, None, [recipient(number)])
    name, kind = ATTACHMENT
    content = attachment()

    def send(number: int) -> Any:
        message = message_class(SUBJECT, BODY, None, [recipient(number)])
        message.attach(name, content, kind)
        return message.send()

    return send


def _timed(send: Callable[[int], Any], first: int, count: int) -> dict[str, float]:
    send(first + count)
    clock = time.perf_counter
    took = array("d", bytes(8 * count))
    began = before = clock()
    for place in range(count):
        send(first + place)
        now = clock()
        took[place] = now - before
        before = now
    ordered = sorted(took)
    return {
        "seconds": before - began,
        "p50_us": ordered[count // 2] * 1e6,
        "p99_us": ordered[min(count - 1, count * 99 // 100)] * 1e6,
    }


def _singles(send: Callable[[int], Any], first: int, count: int) -> None:
    for start in range(first, first + count, _TRANSACTION):
        with _transaction():
            for number in range(start, min(start + _TRANSACTION, first + count)):
                send(number)


def _mass(api: Any, first: int, count: int) -> None:
    for start in range(first, first + count, MASS):
        numbers = range(start, min(start + MASS, first + count))
        api.send_mass_mail([(SUBJECT, BODY, None, [recipient(number)]) for number in numbers])


def _generated(api: Any, first: int, count: int) -> None:
    def letters() -> Iterator[Any]:
        for number in range(first, first + count):
            yield api.EmailMessage(SUBJECT, BODY, SENDER, [recipient(number)])

    api.enqueue(letters())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("how", choices=["single", "mass", "enqueue"])
    parser.add_argument("letter", type=Letter)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--timed", action="store_true")
    asked = parser.parse_args()
    api = _api()
    began = time.perf_counter()
    found: dict[str, float] = {}
    if asked.timed:
        found = _timed(_one(api, asked.letter), asked.first, asked.count)
    elif asked.how == "mass":
        _mass(api, asked.first, asked.count)
    elif asked.how == "enqueue":
        _generated(api, asked.first, asked.count)
    else:
        _singles(_one(api, asked.letter), asked.first, asked.count)
    print(json.dumps({"seconds": time.perf_counter() - began} | found | {"count": asked.count}))


if __name__ == "__main__":
    main()
