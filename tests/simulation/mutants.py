"""Rules of the spool and of the pipeline, each one broken: what the simulation has to find.

A mutant changes one rule, in a subclass or for as long as a context lasts; the code itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast
from unittest.mock import patch

from mailworker.delivery import pipeline, policy, steady
from mailworker.delivery.journal import BatchJournal
from mailworker.delivery.leases import Watch
from mailworker.delivery.pipeline import Pipeline
from mailworker.delivery.policy import RetryPolicy
from mailworker.delivery.recorder import Word
from mailworker.delivery.seat import Seat
from mailworker.delivery.steady import SteadySpool
from mailworker.delivery.turn import Turn
from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool import gates, rules
from mailworker.spool.base import Claim, Leased, Made, Spool, SpoolUnavailable
from mailworker.spool.breaker import Breaker
from mailworker.spool.gates import MailerGates
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Ledger, Mail, State
from mailworker.spool.shelf import Entry, Shelf
from tests.simulation.schedule import Result, simulate

#: Patches nothing.
_AS_IT_IS: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule that is broken.

    Attributes:
        name: what is wrong.
        promises: which promises may be found broken by it.
        spool_class: the spool, if the rule is the spool's.
        pipeline_class: the pipeline, if the rule is the worker's.
        patched: breaks the rule for a while, if it is nobody's method.
        first: the seed from which on the normal run looks for it: few schedules come to some rules.
    """

    name: str
    promises: tuple[str, ...]
    spool_class: type[MemorySpool] = MemorySpool
    pipeline_class: type[Pipeline] = Pipeline
    patched: Callable[[], AbstractContextManager[Any]] = _AS_IT_IS
    first: int = 0

    def simulate(self, seed: int, *, keeps_log: bool = False) -> Result:
        """Run one seed with the rule broken."""
        with self.patched():
            return simulate(seed, spool_class=self.spool_class, pipeline_class=self.pipeline_class, keeps_log=keeps_log)


# What a worker does.


class _WithoutMark:
    """A spool on which the mark is left out: the lease is made longer, and nothing is noted."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)

    def mark(self, leased: Leased, lease: float) -> bool:
        return self._spool.renew(leased, lease)

    def step(self, done: tuple[Leased, Mapping[str, Outcome]] | None, following: Leased | None, lease: float) -> Made:
        is_done = done is not None and self._spool.done(*done)
        return Made(is_done, following is not None and self._spool.renew(following, lease))


class _NeverMarks(Pipeline):
    def __init__(self, spool: Spool, *args: Any, **kwargs: Any) -> None:
        super().__init__(cast("Spool", _WithoutMark(spool)), *args, **kwargs)


class _RecordsBeforeTheReply(BatchJournal):
    def committing(self, message: Any) -> bool:
        allowed = super().committing(message)
        if allowed:
            self.settle(message, dict.fromkeys(message.recipients(), Outcome(OutcomeClass.ACCEPTED)))
        return allowed


def _all_recipients(mail: Mail, recipients: Sequence[str], policy: RetryPolicy) -> list[str]:
    return list(recipients)


def _remaining_without_end(mail: Mail, recipients: Sequence[str], policy: RetryPolicy) -> list[str]:
    return [r for r in recipients if r not in mail.ledger.settled]


def _decides_without_end(mail: Mail, *args: Any, **kwargs: Any) -> policy.Decision:
    return _decide(replace(mail, ledger=replace(mail.ledger, in_doubt_resends=0)), *args, **kwargs)


_decide = policy.decide


def _says_it_once(self: SteadySpool, word: str, leased: Leased | None, say: Callable[[], Any]) -> Any:
    try:
        return say()
    except SpoolUnavailable:
        return self._spool.now() if word == "now" else True


def _believes_a_step(self: Any) -> tuple[bool, bool]:
    try:
        return cast("tuple[bool, bool]", self._begun.answer())
    except SpoolUnavailable:
        return True, True


def _commits_without_mark(self: Turn, leased: Leased) -> bool:
    self._settle()
    return self._watch.may_commit(leased)


def _commits_before_the_answer(self: Turn, leased: Leased) -> bool:
    return self._watch.may_commit(leased)


def _finishes_untold(self: Turn) -> None:
    self._settle()
    self._say()


def _tells_at_once(self: Turn, word: Word | None, following: Leased | None) -> None:
    if word is not None:
        self._recorder.tell(word, is_ours=True)
    _start(self, word, following)


_start = Turn._start


def _recalls_everything(self: Watch, now: float) -> None:
    phases = {held.phase for held in self._held.values()}
    if now - self._since >= 5.0 and phases:
        for held in self._held.values():
            held.phase = type(held.phase).RETURNING


# What the spool does.


class _NoTokens(MemorySpool):
    """Whoever says a word is heard, whether the lease is still its own or not."""

    def _close(self, leased: Leased, *args: Any, **kwargs: Any) -> bool:
        return super()._close(self._as_the_last(leased), *args, **kwargs)

    def _held_by(self, leased: Leased, now: float) -> Entry | None:
        return super()._held_by(self._as_the_last(leased), now)

    def _as_the_last(self, leased: Leased) -> Leased:
        entry = self._shelf._entries.get(leased.mail.id)
        return leased if entry is None or entry.token is None else replace(leased, token=entry.token)


class _DeafToTheLate(MemorySpool):
    def _hear_late(self, entry: Entry, outcomes: Mapping[str, Outcome], now: float, *, says_all: bool) -> bool:
        return False


class _LateNewsChangesNoLease(MemorySpool):
    def _hear_late(self, entry: Entry, outcomes: Mapping[str, Outcome], now: float, *, says_all: bool) -> bool:
        merged = entry.mail.ledger.merged(rules.news(entry.mail.ledger, outcomes))
        entry.mail = replace(entry.mail, ledger=replace(entry.mail.ledger, outcomes=merged))
        return False


class _LateWordsAreWritten(MemorySpool):
    def _hear_late(self, entry: Entry, outcomes: Mapping[str, Outcome], now: float, *, says_all: bool) -> bool:
        if entry.state.is_finished:
            ledger = entry.mail.ledger
            entry.mail = replace(entry.mail, ledger=replace(ledger, outcomes=ledger.merged(outcomes)))
        return super()._hear_late(entry, outcomes, now, says_all=says_all)


class _GrantsWhatHasEnded(MemorySpool):
    def _held_by(self, leased: Leased, now: float) -> Entry | None:
        entry = self._shelf.find(leased.mail.id, now)
        if entry is not None and entry.state.is_finished and entry.token == leased.token:
            return entry
        return super()._held_by(leased, now)


class _ClaimHidesTheMark(MemorySpool):
    def claim(
        self, lanes: Sequence[Lane], limit: int, lease: float, mailer: str | None = None, slot: str = ""
    ) -> Claim:
        claim = super().claim(lanes, limit, lease, mailer, slot)
        return replace(claim, leased=tuple(replace(one, in_doubt=False) for one in claim.leased))


class _EveryMarkIsCharged(MemorySpool):
    def mark(self, leased: Leased, lease: float) -> bool:
        entry = self._shelf._entries.get(leased.mail.id)
        if entry is not None and entry.token == leased.token:
            entry.marked = False
        return super().mark(leased, lease)


class _EveryWordCounts(MemorySpool):
    def _close(self, leased: Leased, *args: Any, **kwargs: Any) -> bool:
        entry = self._shelf._entries.get(leased.mail.id)
        if entry is not None and entry.token == leased.token:
            entry.closed_by = None
        return super()._close(leased, *args, **kwargs)


class _CancelTakesAll(MemorySpool):
    def cancel(self, mail_id: str) -> bool:
        entry = self._shelf.find(mail_id, self.now())
        if entry is None or entry.state is not State.LEASED:
            return super().cancel(mail_id)
        entry.take_lapse()
        self._shelf.finish(entry, State.CANCELLED, self.now())
        return True


class _MarkIgnoresTheGroup(MemorySpool):
    def mark(self, leased: Leased, lease: float) -> bool:
        entry = self._held_by(leased, self.now())
        if entry is not None and entry.group is not None:
            entry.epoch = entry.group.epoch
        return super().mark(leased, lease)


class _PutStartsAfresh(MemorySpool):
    def _put(self, mail: Mail) -> bool:
        entry = self._shelf.find(mail.id, self.now())
        if entry is not None and entry.state.is_finished:
            self._shelf.remove(entry)
        return super()._put(mail)


def _without_mark(ledger: Ledger, *, was_marked: bool) -> Ledger:
    return _lapsed(ledger, was_marked=False)


_lapsed = rules.lapsed


def _replayed_from_nothing(mail: Mail, now: float) -> Mail:
    return replace(mail, due_at=now, ledger=Ledger(in_doubt=mail.ledger.in_doubt))


def _replayed_without_flag(mail: Mail, now: float) -> Mail:
    mail = _replayed(mail, now)
    return replace(mail, ledger=replace(mail.ledger, in_doubt=False))


_replayed = rules.replayed


def _moved_without_group(self: Shelf, entry: Entry, state: State) -> None:
    entry.row.counts[entry.state] -= 1
    entry.row.counts[state] += 1
    entry.state = state


def _probing_for_ever(self: Breaker, token: str, until: float) -> Breaker:
    return replace(self, probe=token, probe_until=float("inf"))


def _leaves_with_its_session_open(self: Seat) -> None:
    mailer, self._mailer = self._mailer, None
    if mailer is not None:
        self._spool.leave(mailer, self._slot)


MUTANTS = (
    Mutant("the mark is left out", ("marked",), pipeline_class=_NeverMarks),
    Mutant("the token is not checked", ("one lease", "one word"), spool_class=_NoTokens),
    Mutant(
        "done is said before the relay has replied",
        ("truth",),
        patched=lambda: patch.object(pipeline, "BatchJournal", _RecordsBeforeTheReply),
    ),
    Mutant("a late ACCEPTED is thrown away", ("accepted",), spool_class=_DeafToTheLate),
    Mutant(
        "a late ACCEPTED leaves a newer lease in force",
        ("accepted", "cause"),
        spool_class=_LateNewsChangesNoLease,
        first=600,
    ),
    Mutant("a late word is written into a mail that has ended", ("ended",), spool_class=_LateWordsAreWritten),
    Mutant("a mail that has ended is marked or renewed", ("ended",), spool_class=_GrantsWhatHasEnded),
    Mutant("a claim hides the mark of an earlier lease", ("in doubt",), spool_class=_ClaimHidesTheMark),
    Mutant(
        "a lapsed mark does not flag the mail",
        ("in doubt",),
        patched=lambda: patch.object(rules, "lapsed", _without_mark),
    ),
    Mutant("a mark that is said again is charged again", ("one word",), spool_class=_EveryMarkIsCharged),
    Mutant("a word that is said again counts again", ("one word", "final"), spool_class=_EveryWordCounts, first=150),
    Mutant(
        "accepted recipients are tried again",
        ("accepted", "resends"),
        patched=lambda: patch.object(policy, "remaining", _all_recipients),
    ),
    Mutant(
        "mail in doubt is sent again without end",
        ("resends",),
        patched=lambda: patch.multiple(policy, remaining=_remaining_without_end, decide=_decides_without_end),
    ),
    Mutant("cancel takes back what a worker has in hand", ("taken back",), spool_class=_CancelTakesAll),
    Mutant("mark does not see that the group was cancelled", ("taken back", "cause"), spool_class=_MarkIgnoresTheGroup),
    Mutant("put starts a finished mail afresh", ("accounted",), spool_class=_PutStartsAfresh),
    Mutant(
        "a replay forgets who was accepted",
        ("accepted",),
        patched=lambda: patch.object(rules, "replayed", _replayed_from_nothing),
        first=250,
    ),
    Mutant(
        "a replay forgets the doubt",
        ("flagged",),
        patched=lambda: patch.object(rules, "replayed", _replayed_without_flag),
    ),
    Mutant(
        "a worker does not say its word again",
        ("order",),
        patched=lambda: patch.object(SteadySpool, "_until_taken", _says_it_once),
    ),
    Mutant(
        "a step is taken for made when its answer is lost",
        ("marked", "order"),
        patched=lambda: patch.object(steady._SteadyStep, "answer", _believes_a_step),
    ),
    Mutant(
        "a dot goes out although its mark was refused",
        ("marked",),
        patched=lambda: patch.object(Turn, "commit", _commits_without_mark),
    ),
    Mutant(
        "a dot does not wait for the step before it",
        ("marked", "order"),
        patched=lambda: patch.object(Turn, "commit", _commits_before_the_answer),
    ),
    Mutant("the last mail is not told of", ("told",), patched=lambda: patch.object(Turn, "finish", _finishes_untold)),
    Mutant(
        "a mail is told of before the spool has heard it",
        ("told",),
        patched=lambda: patch.object(Turn, "_start", _tells_at_once),
    ),
    Mutant(
        "a dot goes out whatever is left of the lease",
        ("own lease",),
        patched=lambda: patch.object(Watch, "may_commit", lambda self, leased: True),
    ),
    Mutant(
        "the keeper gives back the mail in transaction",
        ("truth",),
        patched=lambda: patch.object(Watch, "_recall", _recalls_everything),
    ),
    Mutant(
        "a group's counts are forgotten",
        ("counts",),
        patched=lambda: patch.object(Shelf, "_move", _moved_without_group),
    ),
    Mutant(
        "a probe that is lost is waited for without end",
        ("at rest",),
        patched=lambda: patch.object(Breaker, "probing", _probing_for_ever),
    ),
    Mutant(
        "a claim does not count seats",
        ("sessions",),
        patched=lambda: patch.object(gates, "_seat_wait", lambda gate, seats, now, slot: 0.0),
    ),
    Mutant(
        "a seat is not made longer with its leases",
        ("sessions",),
        patched=lambda: patch.object(MailerGates, "extend", lambda *args, **kwargs: None),
    ),
    Mutant(
        "a seat is given up while its session is open",
        ("sessions",),
        patched=lambda: patch.object(Seat, "give_up", _leaves_with_its_session_open),
    ),
    Mutant(
        "a session goes on when its seat has run out",
        ("sessions",),
        patched=lambda: patch.object(Seat, "is_over", lambda self: False),
        first=2_600,
    ),
)


#: The same by their names.
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
