"""What a worker does while the spool's server is away: it stops sending, and repeats what it has to record (DESIGN §8).

The words that end a lease are said until they are taken; the contract makes a repeated one count once. A step (`done` of one
mail, `mark` of the next) is made again for a moment only, and without it nothing is sent. What only helps (a mailer's state) is left unsaid. A claim is
not repeated: whoever has nothing in hand may go home. It gives up, with SpoolUnavailable, only when it is told that the
process is being killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import TypeVar

from mailworker import log
from mailworker.lane import Lane
from mailworker.outcome import Outcome
from mailworker.spool.base import Claim, Leased, Spool, SpoolUnavailable, Step

logger = log.get(__name__)

_T = TypeVar("_T")

#: Seconds between two tries to say a word; the last one repeats. No longer, since whoever comes back to the spool first
#: decides: a mail whose lease ran out meanwhile must be recorded before another worker takes it for lost.
_PAUSES = (0.1, 0.2, 0.4, 0.5)

#: Seconds in which a step may be made again. The relay waits meanwhile, in the middle of a transaction.
_MARK_PATIENCE = 1.0

#: Longest single wait, in seconds, so that `alive` is called and a kill is heard.
_SLICE = 0.25


class SteadySpool:
    """A worker's side of a spool whose server may be away for a while.

    Args:
        spool: the queue.
        wait: waits so many seconds.
        clock: monotonic seconds.
        alive: called while waiting, so that the worker is not taken for stuck.
        should_give_up: True once this process is being killed and may wait no longer.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        alive: Callable[[], None] = lambda: None,
        should_give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spool = spool
        self._wait = wait
        self._clock = clock
        self._alive = alive
        self._should_give_up = should_give_up
        #: When it was first found away, by our clock; None while it is there.
        self._away_since: float | None = None
        #: The spool's clock less ours, as last heard.
        self._ahead: float | None = None

    def now(self) -> float:
        """Return the spool's clock, reckoned by our own while it cannot be asked."""
        if self._ahead is None:
            now = self._until_taken("now", None, self._spool.now)
        else:
            try:
                now = self.asked(self._spool.now)
            except SpoolUnavailable:
                return self._clock() + self._ahead
        self._ahead = now - self._clock()
        return now

    def claim(self, lanes: Sequence[Lane], limit: int, lease: float, slot: str = "") -> Claim:
        """Lease mails, or raise SpoolUnavailable at once."""
        return self.asked(lambda: self._spool.claim(lanes, limit, lease, None, slot))

    def has_ready(self, lanes: Sequence[Lane], slot: str = "") -> bool:
        """Tell whether these lanes may have a mail for a slot; False if the spool cannot be asked."""
        try:
            return self.asked(lambda: self._spool.has_ready(lanes, slot))
        except SpoolUnavailable:
            return False

    def leave(self, mailer: str, slot: str) -> bool:
        """Give up a seat; return whether the spool could be told. If not, the seat ends by time."""
        if self._away_since is not None and self._should_give_up():
            return False
        try:
            self.asked(lambda: self._spool.leave(mailer, slot))
        except SpoolUnavailable:
            return False
        return True

    def step(self, done: tuple[Leased, Mapping[str, Outcome]] | None, following: Leased | None, lease: float) -> Step:
        """Say `done` of one mail and `mark` of the next; a second mark of one lease charges nothing.

        What keeps it from being made is told by its answer, which asks again for a second. Without a yes from there the next
        mail must not be sent, and `done` is still to be said.
        """
        try:
            begun = self._spool.step(done, following, lease)
        except SpoolUnavailable as error:
            self._is_away(error)
            begun = None
        return _SteadyStep(self, begun, done, following, lease)

    def again(
        self, done: tuple[Leased, Mapping[str, Outcome]] | None, following: Leased | None, lease: float
    ) -> tuple[bool, bool]:
        """Make a step that could not be made, within a moment.

        Raises:
            SpoolUnavailable: it cannot be had within a second.
        """
        ends = self._clock() + _MARK_PATIENCE
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            is_last = self._should_give_up() or self._clock() + pause > ends
            try:
                is_done = done is not None and self.asked(lambda: self._spool.done(*done))
                return is_done, following is not None and self.asked(lambda: self._spool.mark(following, lease))
            except SpoolUnavailable:
                if is_last:
                    raise
            self._rest(pause)
        raise AssertionError("the pauses never end")

    # The six words that end a lease: each raises SpoolUnavailable only when told to give up.

    def done(self, leased: Leased, outcomes: Mapping[str, Outcome]) -> bool:
        return self._until_taken("done", leased, lambda: self._spool.done(leased, outcomes))

    def defer(self, leased: Leased, until: float, outcomes: Mapping[str, Outcome], *, resend: bool = False) -> bool:
        return self._until_taken("defer", leased, lambda: self._spool.defer(leased, until, outcomes, resend=resend))

    def snooze(self, leased: Leased, until: float) -> bool:
        return self._until_taken("snooze", leased, lambda: self._spool.snooze(leased, until))

    def bury(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str, *, keep: bool = False) -> bool:
        return self._until_taken("bury", leased, lambda: self._spool.bury(leased, outcomes, reason, keep=keep))

    def hold(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str) -> bool:
        return self._until_taken("hold", leased, lambda: self._spool.hold(leased, outcomes, reason))

    def drop(self, leased: Leased, reason: str) -> bool:
        return self._until_taken("drop", leased, lambda: self._spool.drop(leased, reason))

    def pause_group(self, group: str, reason: str) -> None:
        """Close a group's gate."""
        self._until_taken("pause_group", None, lambda: self._spool.pause_group(group, reason))

    def letter(self, name: str) -> tuple[bytes, str] | None:
        """Return a bulk's letter and the note of its plan; None if it is not known."""
        letter = self._until_taken("letter", None, lambda: self._spool.bulks.letter(name))
        bulk = None if letter is None else self._until_taken("bulk", None, lambda: self._spool.bulks.get(name))
        return None if letter is None or bulk is None else (letter, bulk.plan.note)

    def trip(self, mailer: str, backoff: Sequence[float], reason: str) -> float:
        """Pause a mailer; return until when, and the first pause's end if the spool could not be told."""
        try:
            return self.asked(lambda: self._spool.trip(mailer, backoff, reason))
        except SpoolUnavailable:
            return self.now() + backoff[0]

    def recover(self, mailer: str) -> bool:
        """Forget a mailer's failures; return whether it had any. If the spool cannot be told, the next batch tells it."""
        try:
            if not self.asked(lambda: self._spool.mailer_state(mailer)).failures:
                return False
            self.asked(lambda: self._spool.recover(mailer))
        except SpoolUnavailable:
            return False
        return True

    def _until_taken(self, word: str, leased: Leased | None, say: Callable[[], _T]) -> _T:
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            try:
                return self.asked(say)
            except SpoolUnavailable:
                if self._should_give_up():
                    mail_id = leased.mail.id if leased else ""
                    text = "the spool is away and this process is ended: %r is not recorded: mail_id=%s"
                    logger.error(text, word, mail_id, extra={"mail_id": mail_id})
                    raise
            self._rest(pause)
        raise AssertionError("the pauses never end")

    def asked(self, say: Callable[[], _T]) -> _T:
        """Return what the spool answers, and take note of whether it is there; SpoolUnavailable at once."""
        try:
            answer = say()
        except SpoolUnavailable as error:
            self._is_away(error)
            raise
        if self._away_since is not None:
            away = self._clock() - self._away_since
            self._away_since = None
            logger.info("the spool answers again after %.1f s", away, extra={"event": "spool_back", "seconds": away})
        return answer

    def _is_away(self, error: SpoolUnavailable) -> None:
        if self._away_since is None:
            self._away_since = self._clock()
            logger.warning("nothing is sent until the spool answers: %s", error, extra={"event": "spool_away"})

    def _rest(self, seconds: float) -> None:
        while seconds > 0 and not self._should_give_up():
            self._alive()
            slice_ = min(seconds, _SLICE)
            self._wait(slice_)
            seconds -= slice_


class _SteadyStep:
    """A step that is made again for a moment where it could not be."""

    def __init__(
        self,
        spool: SteadySpool,
        begun: Step | None,
        done: tuple[Leased, Mapping[str, Outcome]] | None,
        following: Leased | None,
        lease: float,
    ) -> None:
        self._spool = spool
        self._begun = begun
        self._done = done
        self._following = following
        self._lease = lease

    def answer(self) -> tuple[bool, bool]:
        if self._begun is not None:
            try:
                return self._spool.asked(self._begun.answer)
            except SpoolUnavailable:
                self._begun = None
        return self._spool.again(self._done, self._following, self._lease)
