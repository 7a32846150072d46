"""What the mails of one claim may do: begin, commit, be recorded or go back, each exactly once.

A mail may begin unless the worker is to stop, higher mail waits, the spool is away, the keeper gave it back, or its mark is
refused. Once the spool was away at a mark, or would not take what has to be recorded before this process ends, no other mail
of the claim begins.
"""

from __future__ import annotations

from collections.abc import Callable

from mailworker.delivery.leases import Watch
from mailworker.delivery.preemption import Preemption
from mailworker.delivery.steady import SteadySpool
from mailworker.spool.base import Leased, SpoolUnavailable


class Turn:
    """The course of one claim.

    Args:
        spool: the queue.
        watch: the claim's leases.
        work_lease: seconds that a mark leases a mail for.
        preemption: asks for higher mail.
        should_stop: asked before each message; True leaves it and all after it to others.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        spool: SteadySpool,
        watch: Watch,
        *,
        work_lease: float,
        preemption: Preemption,
        should_stop: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._watch = watch
        self._work_lease = work_lease
        self._preemption = preemption
        self._should_stop = should_stop
        self._clock = clock
        self._has_given_way = False
        self._is_away = False
        self._unrecorded: SpoolUnavailable | None = None
        self._began_at: float | None = None
        self._ended_at = 0.0
        #: Mails whose attempt is recorded.
        self.recorded = 0

    @property
    def seconds(self) -> float:
        """How long the recorded ones took, from the beginning of the first; without the time to connect."""
        return self._ended_at - self._began_at if self._began_at is not None and self.recorded else 0.0

    def may_go_on(self) -> bool:
        """Tell whether any further mail may begin."""
        if self._is_away or self._has_given_way or self._should_stop():
            return False
        # Not before the first: a claim that gets nothing done would be made again for ever.
        if self._began_at is not None and self._preemption.is_due():
            self._has_given_way = True
        return not self._has_given_way

    def begin(self, leased: Leased) -> bool:
        """Charge an attempt, and let the mail begin; never raises."""
        return self.may_go_on() and self.charge(leased)

    def charge(self, leased: Leased) -> bool:
        """Charge an attempt whatever comes after it; False if the mail must not be touched. Never raises."""
        if self._is_away or not self.take(leased):
            return False
        now = self._clock()
        if self._began_at is None:
            self._began_at = now
        try:
            is_ours = self._spool.mark(leased, self._work_lease)
        except SpoolUnavailable:
            self._is_away = True
            return False
        if is_ours:
            self._watch.marked(leased, now)
        return is_ours

    def take(self, leased: Leased) -> bool:
        """Take a mail in hand that needs no attempt; False if the keeper gave it back."""
        return self._watch.begin(leased)

    def commit(self, leased: Leased) -> bool:
        """Allow the final dot."""
        return self._watch.may_commit(leased)

    def record(self, leased: Leased, say: Callable[[], None]) -> None:
        """Record a mail in hand; if that cannot be done, nothing else of the claim begins, and `check` raises.

        Args:
            leased: the mail.
            say: says it to the spool.
        """
        try:
            say()
        except SpoolUnavailable as error:
            self._unrecorded = error
            self._is_away = True
            return
        self._watch.over(leased)
        self.recorded += 1
        self._ended_at = self._clock()

    def over(self, leased: Leased) -> None:
        """Note that a mail in hand is recorded."""
        self._watch.over(leased)

    def give_back(self, leased: Leased, until: float) -> None:
        """Put a mail back that was not sent, unless the keeper has.

        Raises:
            SpoolUnavailable: it could not be before the process ends.
        """
        if not self._watch.is_given_back(leased):
            self._spool.snooze(leased, until)
        self._watch.over(leased)

    def check(self) -> None:
        """Raise what kept an outcome from being recorded.

        Raises:
            SpoolUnavailable: the process ends before the spool is back; what is not recorded will be in doubt.
        """
        if self._unrecorded is not None:
            raise self._unrecorded
