"""What the mails of one claim may do: begin, commit, be recorded or go back, each exactly once.

A mail may begin unless the worker is to stop, higher mail waits, the spool is away, the keeper gave it back, or its mark is
refused. What is to be noted of one mail that is over and of the next that begins goes to the spool in one step, whose answer is
read before the next one's final dot; until then nothing else is noted. Once the spool was away at a step, or would not take
what has to be recorded before this process ends, no other mail of the claim begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailworker.delivery.leases import Watch
from mailworker.delivery.preemption import Preemption
from mailworker.delivery.recorder import Recorder, Word
from mailworker.delivery.steady import SteadySpool
from mailworker.spool.base import Leased, SpoolUnavailable, Step


@dataclass(frozen=True, slots=True)
class _Open:
    """A step whose answer has not been read.

    Attributes:
        step: it.
        word: the `done` in it.
        following: whose mark is in it.
        since: our clock right before.
    """

    step: Step
    word: Word | None
    following: Leased | None
    since: float


class Turn:
    """The course of one claim.

    Args:
        spool: the queue.
        watch: the claim's leases.
        recorder: says the words, and tells of them.
        work_lease: seconds that a mark leases a mail for.
        preemption: asks for higher mail.
        should_stop: asked before each message; True leaves it and all after it to others.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        spool: SteadySpool,
        watch: Watch,
        recorder: Recorder,
        *,
        work_lease: float,
        preemption: Preemption,
        should_stop: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._watch = watch
        self._recorder = recorder
        self._work_lease = work_lease
        self._preemption = preemption
        self._should_stop = should_stop
        self._clock = clock
        self._has_given_way = False
        self._is_away = False
        #: The step that is on its way.
        self._open: _Open | None = None
        #: Ids of the mails that are marked.
        self._marked: set[str] = set()
        #: Words that the spool has taken and nobody has been told of, and whether the lease was ours.
        self._untold: list[tuple[Word, bool]] = []
        #: Words that the spool has not taken so far.
        self._unsaid: list[Word] = []
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

    def give_way(self) -> None:
        """Let no further mail begin: the next claim knows better who may."""
        self._has_given_way = True

    def begin(self, leased: Leased) -> bool:
        """Charge an attempt, and let the mail begin; whether it could be charged, `commit` says. Never raises."""
        return self.may_go_on() and self.take(leased) and self._charge(leased)

    def may_follow(self, leased: Leased) -> bool:
        """Tell whether the mail may begin as soon as the one before it is recorded. Never raises.

        Until then it is not in hand: with a relay that takes its time the keeper gives it back.
        """
        return self.may_go_on() and self._watch.is_waiting(leased)

    def charge(self, leased: Leased) -> bool:
        """Charge an attempt whatever comes after it; False if the mail must not be touched. Never raises."""
        if not self.take(leased) or not self._charge(leased):
            return False
        self._settle()
        return leased.mail.id in self._marked

    def take(self, leased: Leased) -> bool:
        """Take a mail in hand; False if the keeper gave it back."""
        return self._watch.begin(leased)

    def commit(self, leased: Leased) -> bool:
        """Allow the final dot: what was noted before is in the spool, the attempt is charged, and the lease is ours."""
        self._settle()
        is_ours = leased.mail.id in self._marked and self._watch.may_commit(leased)
        if not is_ours:
            # What took this one may have taken those behind it (their group is cancelled, the worker stood still), and each
            # would cost the relay a session. They go back, and the next claim knows.
            self._has_given_way = True
        return is_ours

    def record(self, decide: Callable[[], Word], following: Leased | None = None) -> None:
        """Record a mail in hand, and charge the attempt at the next one; if that cannot be done, nothing else begins.

        Args:
            decide: returns the word on the mail; it may raise what the spool raises.
            following: one that `may_follow`.
        """
        self._settle()
        if following is not None and not self.take(following):
            following = None
        try:
            word = decide()
        except SpoolUnavailable as error:
            self._unrecorded = error
            self._is_away = True
            return
        self.recorded += 1
        self._ended_at = self._clock()
        if word.kind == "done" and not self._is_away:
            self._start(word, following)
            return
        self._unsaid.append(word)
        self._say()
        if following is not None and not self._is_away:
            self._start(None, following)

    def tell(self) -> None:
        """Tell of what the spool has taken meanwhile."""
        while self._untold:
            word, is_ours = self._untold.pop(0)
            self._recorder.tell(word, is_ours=is_ours)

    def settle(self, word: Word) -> None:
        """Record a mail in hand that was not sent by a backend.

        Raises:
            SpoolUnavailable: it could not be recorded before the process ends.
        """
        self._settle()
        self._recorded(word, is_ours=self._recorder.say(word))

    def finish(self) -> None:
        """Make sure that everything is recorded and told; what keeps it from that, `check` raises."""
        self._settle()
        self._say()
        self.tell()

    def _charge(self, leased: Leased) -> bool:
        self._settle()
        if self._is_away:
            return False
        if self._began_at is None:
            self._began_at = self._clock()
        self._start(None, leased)
        return True

    def _start(self, word: Word | None, following: Leased | None) -> None:
        done = None if word is None else (word.leased, word.outcomes)
        since = self._clock()
        self._open = _Open(self._spool.step(done, following, self._work_lease), word, following, since)

    def _settle(self) -> None:
        """Read the answer of the step that is on its way."""
        step, self._open = self._open, None
        if step is None:
            return
        try:
            is_done, is_marked = step.step.answer()
        except SpoolUnavailable:
            self._is_away = True
            if step.word is not None:
                self._unsaid.append(step.word)
            return
        if step.word is not None:
            self._watch.over(step.word.leased)
            # Told when nobody waits for it: not now, with the next one's dot to be sent.
            self._untold.append((step.word, is_done))
        if step.following is not None and is_marked:
            self._marked.add(step.following.mail.id)
            self._watch.marked(step.following, step.since)

    def _say(self) -> None:
        """Say what the spool has not taken so far, until it has."""
        while self._unsaid and self._unrecorded is None:
            try:
                is_ours = self._recorder.say(self._unsaid[0])
            except SpoolUnavailable as error:
                self._unrecorded = error
                self._is_away = True
                return
            self._recorded(self._unsaid.pop(0), is_ours=is_ours)

    def _recorded(self, word: Word, *, is_ours: bool) -> None:
        self.tell()
        self._recorder.tell(word, is_ours=is_ours)
        self._watch.over(word.leased)

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
