"""Who keeps the leases of a batch alive while its worker waits for the relay, and gives back what waits too long (DESIGN §8).

A watch knows each mail of one claim: it waits, its work has begun, or it goes back. All of that changes under one lock, so
that a mail is begun or given back, never both. It also knows by this process's own clock, counted from before the call that
got or extended a lease, how much of it is left: with too little there is no final dot. The keeper is the thread that looks
after the watch. Where it fails, or there is none, leases run out and the dot is refused; no mail is sent without one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from mailworker import log
from mailworker.spool.base import Leased, Spool, SpoolUnavailable

logger = log.get(__name__)

#: Seconds that a mail waits behind the one in transaction, or for a connection, before another worker may have it.
PATIENCE = 5.0

#: Seconds of a lease that must be left for the final dot; of a longer lease a tenth. Time for the dot to leave.
_LEFT_FOR_DOT = 2.0

#: Longest sleep of a keeper, in seconds: so soon it sees a new batch.
_SLICE = 0.5

#: Seconds without a batch after which a keeper's thread ends.
_IDLE = 10.0


class _Phase(Enum):
    WAITING = auto()  #: its work has not begun
    BEGUN = auto()  #: its work has begun: it is recorded or snoozed by the worker, by nobody else
    RETURNING = auto()  #: it goes back, and must not begin any more


@dataclass(slots=True, eq=False)
class _Held:
    """A mail of the batch.

    Attributes:
        leased: the mail and its lease.
        until: end of the lease by our own clock.
        phase: where it is.
        is_lost: the spool says that the lease is not ours any more.
    """

    leased: Leased
    until: float
    phase: _Phase = _Phase.WAITING
    is_lost: bool = False

    @property
    def may_begin(self) -> bool:
        """False once it goes back, or is known to be lost."""
        return self.phase is not _Phase.RETURNING and not self.is_lost


class Watch:
    """The leases of one claim.

    Args:
        spool: the queue; what it raises here is never waited out.
        leased: the mails, in the order in which they will be sent.
        lease: seconds that the claim leased them for.
        work_lease: seconds that a mark leases one for.
        claimed_at: our clock right before the claim.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        spool: Spool,
        leased: Iterable[Leased],
        *,
        lease: float,
        work_lease: float,
        claimed_at: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._lease = lease
        self._work_lease = work_lease
        self._clock = clock
        self._lock = threading.Lock()
        self._held = {one.mail.id: _Held(one, claimed_at + lease) for one in leased}
        self._given_back: set[str] = set()
        #: Since when whatever waits has waited: the claim, or the last beginning.
        self._since = claimed_at
        #: Until when some lease of this claim has lasted, or lasts, by our own clock: so long does its slot have its seat.
        self.lasts_until = claimed_at + lease
        self._renew_at = claimed_at + lease / 3
        self._is_closed = False
        self._has_complained = False

    def begin(self, leased: Leased) -> bool:
        """Take a mail in hand: from now on it is not given back. False if it has been, or its lease is known to be lost."""
        with self._lock:
            held = self._held.get(leased.mail.id)
            if held is None or not held.may_begin:
                return False
            held.phase = _Phase.BEGUN
            self._since = self._clock()
            return True

    def is_waiting(self, leased: Leased) -> bool:
        """Tell whether a mail could be taken in hand now; meanwhile it can still be given back."""
        with self._lock:
            held = self._held.get(leased.mail.id)
            return held is not None and held.may_begin

    def marked(self, leased: Leased, since: float) -> None:
        """Note that a mark made the lease last from `since`, our clock right before it was said."""
        with self._lock:
            held = self._held.get(leased.mail.id)
            if held is not None:
                held.until = since + self._work_lease
                self.lasts_until = max(self.lasts_until, held.until)

    def may_commit(self, leased: Leased) -> bool:
        """Allow the final dot: the lease is ours, and enough of it is left; with less, one renewal is tried at once."""
        with self._lock:
            held = self._held.get(leased.mail.id)
            if held is None or not self._is_ours(held):
                return False
            if self._is_long_enough(held):
                return True
        self._renew(held)
        with self._lock:
            return self._is_ours(held) and self._is_long_enough(held)

    def over(self, leased: Leased) -> None:
        """Forget a mail: its lease has been ended by the worker's word."""
        with self._lock:
            self._held.pop(leased.mail.id, None)

    def is_given_back(self, leased: Leased) -> bool:
        """Tell whether the keeper gave this mail back, and the spool has taken it."""
        with self._lock:
            return leased.mail.id in self._given_back

    def close(self) -> None:
        """End the watch: its worker is done with the batch."""
        with self._lock:
            self._is_closed = True

    def attend(self) -> float | None:
        """Renew what is due to be renewed, and give back what has waited too long; for the keeper.

        Returns:
            Seconds until there is something to do again, None if there will be nothing.
        """
        with self._lock:
            if self._is_closed or not self._held:
                return None
            now = self._clock()
            self._recall(now)
            returning = [held for held in self._held.values() if held.phase is _Phase.RETURNING]
            renewing: list[_Held] = []
            if now >= self._renew_at:
                self._renew_at = now + self._lease / 3
                renewing = [held for held in self._held.values() if held.phase is not _Phase.RETURNING]
        # What is in transaction first: its dot depends on it.
        renewing.sort(key=lambda held: held.phase is not _Phase.BEGUN)
        is_heard = all(self._renew(held) for held in renewing) and all(self._return(held) for held in returning)
        if not is_heard:
            self._complain()
        return self._next_in(is_heard=is_heard)

    def _recall(self, now: float) -> None:
        """Let what has waited too long go back; all but the next one, if nothing is in transaction: a session comes up for it."""
        if now - self._since < PATIENCE:
            return
        waiting = [held for held in self._held.values() if held.phase is _Phase.WAITING]
        for held in waiting if self._is_working() else waiting[1:]:
            held.phase = _Phase.RETURNING

    def _is_working(self) -> bool:
        return any(held.phase is _Phase.BEGUN for held in self._held.values())

    def _renew(self, held: _Held) -> bool:
        """Renew one lease; return whether the spool answered."""
        length = self._work_lease if held.phase is _Phase.BEGUN else self._lease
        since = self._clock()
        try:
            is_ours = self._spool.renew(held.leased, length)
        except SpoolUnavailable:
            return False
        with self._lock:
            if is_ours:
                held.until = max(held.until, since + length)
                self.lasts_until = max(self.lasts_until, held.until)
            else:
                # Or the worker's own word came in between; then nobody asks any more.
                held.is_lost = True
        return True

    def _return(self, held: _Held) -> bool:
        """Give one mail back to where it stood in the queue; return whether the spool answered."""
        try:
            self._spool.snooze(held.leased, held.leased.mail.due_at)
        except SpoolUnavailable:
            return False
        with self._lock:
            self._held.pop(held.leased.mail.id, None)
            self._given_back.add(held.leased.mail.id)
        return True

    def _next_in(self, *, is_heard: bool) -> float | None:
        with self._lock:
            if self._is_closed or not self._held:
                return None
            now = self._clock()
            if not is_heard:
                self._renew_at = min(self._renew_at, now + min(1.0, self._lease / 12))
            at = self._renew_at
            waiting = sum(held.phase is _Phase.WAITING for held in self._held.values())
            if waiting > (0 if self._is_working() else 1):
                at = min(at, self._since + PATIENCE)
            return max(at - now, 0.0)

    def _is_ours(self, held: _Held) -> bool:
        return held.phase is _Phase.BEGUN and not held.is_lost

    def _is_long_enough(self, held: _Held) -> bool:
        # A lease of a second or two has no two seconds to spare: half of it then.
        needed = min(max(_LEFT_FOR_DOT, self._lease / 10), self._lease / 2)
        return held.until - self._clock() >= needed

    def _complain(self) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.warning("leases cannot be renewed: the spool is away", extra={"event": "spool_away"})


class Guard(Protocol):
    """Looks after watches."""

    def guard(self, watch: Watch) -> AbstractContextManager[None]:
        """Call `watch.attend()` when there is something to do, for as long as the context lasts."""
        ...


@dataclass(slots=True, eq=False)
class _Round:
    """What the thread of one worker slot looks after; None between two batches."""

    watch: Watch | None = None
    thread: threading.Thread | None = None


class Keeper:
    """Looks after the batches of this process, with one daemon thread for each of its worker slots.

    A slot is a prefork child or a thread of a pool. Its keeper's thread starts with its first batch, ends when there has been
    none for a while, and is forgotten in a forked child.

    Args:
        wait: waits so many seconds.
    """

    def __init__(self, wait: Callable[[float], None] = time.sleep) -> None:
        self._wait = wait
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._rounds: dict[int, _Round] = {}

    @contextmanager
    def guard(self, watch: Watch) -> Iterator[None]:
        """Look after a watch for as long as the context lasts, which is this thread's only one."""
        if self._pid != os.getpid():
            self._forget()
        slot = threading.get_ident()
        with self._lock:
            round_ = self._rounds.setdefault(slot, _Round())
            round_.watch = watch
            if round_.thread is None or not round_.thread.is_alive():
                round_.thread = self._started(slot, round_)
        try:
            yield
        finally:
            watch.close()
            with self._lock:
                round_.watch = None

    def _started(self, slot: int, round_: _Round) -> threading.Thread | None:
        thread = threading.Thread(target=self._run, args=(slot, round_), name="mailworker-keeper", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The limit of threads: short transactions go on, and what lasts longer than its lease gets no dot.
            logger.error("the keeper of the leases has no thread: the limit of this process or host is reached")
            return None
        return thread

    def _run(self, slot: int, round_: _Round) -> None:
        idle = 0.0
        while True:
            with self._lock:
                watch = round_.watch
                if watch is None and idle >= _IDLE:
                    round_.thread = None
                    del self._rounds[slot]
                    return
            pause = _SLICE
            if watch is None:
                idle += pause
            else:
                idle = 0.0
                due_in = _attended(watch)
                if due_in is not None:
                    # Never a busy loop, whatever a clock does.
                    pause = min(max(due_in, 0.01), pause)
            self._wait(pause)


def _attended(watch: Watch) -> float | None:
    try:
        return watch.attend()
    except Exception as error:  # noqa: BLE001 - the thread has to live: without it every dot after a while is refused
        logger.error("the keeper of the leases failed: %s", type(error).__name__)
        return None
