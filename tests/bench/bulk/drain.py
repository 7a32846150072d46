"""How fast a worker sends the mails of a bulk, which it renders, beside single mails with the same words, which it does not.

Both go to the same kind of relay, by as many processes, in turns, and what counts is the ratio within a round. Nothing is queued
while the rate is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tests.bench.bulk.place import PATIENCE, Place, opened
from tests.bench.child import Child
from tests.bench.drain import drained
from tests.bench.figures import spread
from tests.bench.postfix import Postfix
from tests.bulk_list import Kind, write_to

#: Of the worker, and of the producers of single mails.
_PROCESSES = 2

#: Letter -> what it is, for people.
LETTERS = {"text": "text", "html": "text and HTML"}


def measured(
    postfix: Postfix | None,
    letters: Sequence[str],
    mails: int,
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, float]:
    """Return medians and ranges of the rates, and of their ratios.

    Args:
        postfix: where smtp-sink is, if it is.
        letters: which of `LETTERS`.
        mails: of a run.
        rounds: how often each is run.
        tell: hears what happens.

    Raises:
        ChildError: not all mails went.
    """
    found: dict[str, float] = {}
    for letter in letters:
        rates: dict[str, list[float]] = {"bulk": [], "single": []}
        cpu: dict[str, list[float]] = {"bulk": [], "single": []}
        for number in range(rounds):
            for how in ("bulk", "single") if number % 2 else ("single", "bulk"):
                rate, used = _run(postfix, letter, how, mails)
                rates[how].append(rate)
                cpu[how].append(used)
                tell(f"{LETTERS[letter]}, round {number + 1} of {rounds}: {how}: {rate:,.0f} mails/s")
        ratios = [bulk / single for bulk, single in zip(rates["bulk"], rates["single"], strict=True)]
        for name, values in {
            f"drain_{letter}": ratios,
            f"bulk_{letter}_rate": rates["bulk"],
            f"single_{letter}_rate": rates["single"],
            f"bulk_{letter}_cpu_us": cpu["bulk"],
            f"single_{letter}_cpu_us": cpu["single"],
        }.items():
            over = spread(values)
            assert over is not None
            found |= {name: over.median, f"{name}_least": over.least, f"{name}_most": over.most}
    return found


def _run(postfix: Postfix | None, letter: str, how: str, mails: int) -> tuple[float, float]:
    """Queue and send so many mails; return the rate, and microseconds of CPU for each in the worker."""
    with opened(postfix) as place:
        # Those that nobody takes are left out: smtp-sink takes all, and of a single mail nobody asks the list.
        written = write_to(place.rows, mails, lambda kind: kind is Kind.GOOD)
        if how == "bulk":
            place.fill(letter)
        else:
            _fill_singly(place, letter, written.sent)
        argv = [sys.executable, "-m", "mailworker", "worker", "-c", str(_PROCESSES)]
        with Child(argv, place.env, place.folder / "worker.log") as worker:
            found = drained(worker, place.receiver, written.sent)
    return found.rate, found.cpu_us


def _fill_singly(place: Place, letter: str, count: int) -> None:
    share = -(-count // _PROCESSES)
    with ExitStack() as stack:
        producers = []
        for first in range(0, count, share):
            more = [letter, str(place.rows), str(first), str(min(share, count - first))]
            argv = [sys.executable, "-m", "tests.bench.bulk.singles", *more]
            log = place.folder / f"single-{first}.log"
            producers.append(stack.enter_context(Child(argv, place.env, log)))
        for producer in producers:
            producer.wait(PATIENCE)
