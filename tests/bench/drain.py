"""How fast mails go out: the rate, the CPU and the memory of a process tree while it sends.

All three are taken between the moments at which the receiver has taken a tenth and 95 % of the mails, so that neither the start
nor the last stragglers count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.child import Child, ChildError
from tests.bench.receiver import Receiver

#: Shares of the mails between which it is measured.
_FROM, _TO = 0.1, 0.95

#: Seconds between two looks at the receiver: a few in ten thousand of what is measured.
_LOOK = 0.01

#: Seconds between two looks at the memory.
_WEIGH = 1.0

#: Seconds that the receiver may take to count what it has answered for.
_LINGER = 0.5

#: Seconds without one mail after which a run is given up.
_PATIENCE = 90.0


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What was measured.

    Attributes:
        rate: mails a second.
        seconds: that the rate was taken over.
        cpu_us: microseconds of CPU for each mail, of the whole process tree.
        memory_mb: most memory of the tree, in MB; PSS.
    """

    rate: float
    seconds: float
    cpu_us: float
    memory_mb: float


@dataclass
class _Mark:
    at: float
    taken: int
    cpu: float


def drained(child: Child, receiver: Receiver, count: int, tell: Callable[[int], None] = lambda taken: None) -> Drained:
    """Watch a process send so many mails.

    Args:
        child: sends them.
        receiver: takes them.
        count: after how many it is over; there may be more.
        tell: hears how many were taken, now and then.

    Raises:
        ChildError: it ended too early, or stood still.
    """
    # With few mails, at least two marks that are not the same.
    wanted = [max(1, round(count * _FROM)), max(2, round(count * _TO))]
    marks: list[_Mark] = []
    memory = 0
    taken, moved, weighed = 0, time.monotonic(), 0.0
    while taken < count:
        was_running = child.is_running
        now, before, taken = time.monotonic(), taken, receiver.count()
        if len(marks) < 2 and taken >= wanted[len(marks)]:
            marks.append(_Mark(now, taken, child.cpu()))
            memory = max(memory, child.memory())
        elif marks and len(marks) < 2 and now - weighed >= _WEIGH:
            weighed = now
            memory = max(memory, child.memory())
            tell(taken)
        if taken > before:
            moved = now
        elif not was_running and now - moved > _LINGER:
            raise ChildError(f"ended after {taken} of {count} mails: {child.what_it_said()}")
        elif now - moved > _PATIENCE:
            raise ChildError(f"stands still after {taken} of {count} mails: {child.what_it_said()}")
        time.sleep(_LOOK)
    if len(marks) < 2:
        raise ChildError(f"{count} mails are too few for this contender: they went between two looks")
    first, last = marks
    mails, seconds = last.taken - first.taken, last.at - first.at
    if mails <= 0:
        raise ChildError(f"{count} mails are too few for this contender: a tenth and 95 % came at one moment")
    return Drained(
        rate=mails / seconds,
        seconds=seconds,
        cpu_us=(last.cpu - first.cpu) / mails * 1e6,
        memory_mb=memory / 1e6,
    )
