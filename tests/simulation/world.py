"""The world of one seed: its clocks, its one spool, what is known of every mail, and the log of what happened.

Whatever happens is told to it right after it was done; `touched` collects the mails whose state may have changed since
the last check. The first broken promise is kept, and ends the seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from random import Random

from mailworker.lane import LANES, Lane
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import Leased
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, State
from tests.simulation.known import KnownLease, KnownMail
from tests.simulation.plan import Plan

#: Spool time at which every seed starts.
EPOCH = 1_000_000.0


class Broken(AssertionError):  # noqa: N818 - a promise is broken, not the simulation
    """Raised when a promise is broken.

    Attributes:
        promise: its name, as `promises` lists them.
    """

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


class World:
    """All that the workers, people, producers and the relay of one seed share.

    Args:
        random: the seed's only source of chance.
        plan: what the seed is about.
        spool_class: which spool is held to the promises.
        log: takes a line for each thing that happens; None for speed.
    """

    def __init__(self, random: Random, plan: Plan, spool_class: type[MemorySpool], log: list[str] | None) -> None:
        self.random = random
        self.chance = random.random
        self.plan = plan
        self.log = log
        self.step = 0
        self.now = EPOCH
        #: The workers' own clock, which does not jump.
        self.monotonic = 0.0
        tokens = count(1)
        self.spool = spool_class(
            lambda: self.now, limits=plan.limits, retention=plan.retention, token=lambda: f"t{next(tokens)}"
        )
        self.mails: dict[str, KnownMail] = {}
        #: (mailer, lane, state) -> mails, where it is not 0; as last seen.
        self.counts: dict[tuple[str, Lane, State], int] = {}
        self.touched: dict[str, None] = {}
        #: Set when anything may have changed anywhere.
        self.all_touched = False
        self.is_spool_away_until = 0.0
        self.has_wakeup = False
        #: Name of the worker whose dot the relay has taken in this step; "" if there is none.
        self.has_just_sent = ""
        #: The lease of a mail whose envelope has gone ahead in this step.
        self.has_just_gone_ahead: KnownLease | None = None
        self.paused_groups: set[str] = set()
        self.cancelled_groups: set[str | None] = set()
        #: Those of them that have had no mail since.
        self._cancelled_before_mails: set[str | None] = set()
        #: What the seed has come to, and how often: proof that the schedules reach what they are meant to.
        self.reached: Counter[str] = Counter()
        self.broken: Broken | None = None
        self._looked_at = -1
        self._has_ready = False
        self._open_leases: list[KnownLease] = []
        #: (worker, mailer) -> until when it has its seat, where those are limited.
        self._seats: dict[tuple[str, str], float] = {}
        #: The same by the workers' clock, as long as the worker has not given it up.
        self._seats_by_ours: dict[tuple[str, str], float] = {}
        #: (worker, mailer) -> sessions that are open.
        self._sessions: Counter[tuple[str, str]] = Counter()

    def note(self, who: str, what: str) -> None:
        if self.log is not None:
            self.log.append(f"{self.step:5d} {self.now - EPOCH:12.3f}  {who:<9} {what}")

    def fail(self, promise: str, text: str) -> None:
        """Keep the first broken promise; whoever finds it may stand in the middle of a worker, where raising is no use."""
        if self.broken is None:
            self.broken = Broken(promise, text)
            self.note("!", str(self.broken))

    # Time.

    def let_pass(self, seconds: float) -> None:
        """Move all clocks on."""
        self.monotonic += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Move the spool's clock alone, forwards or back."""
        self.now += seconds
        self.all_touched = True
        if seconds < 0:
            for known in self.mails.values():
                known.unfinished_at = min(known.unfinished_at, self.now)
            return
        for seat, until in list(self._seats.items()):
            if until <= self.now:
                del self._seats[seat]
                self.reached["a seat runs out beside an open session"] += self._sessions[seat] > 0
        left = []
        for lease in self._open_leases:
            if lease.has_spoken:
                continue
            if lease.until <= self.now:
                lease.broken = lease.broken or "its lease ran out"
                self.reached["a lease runs out before a copy is recorded"] += bool(lease.copied)
            else:
                left.append(lease)
        self._open_leases = left

    def next_end_of_lease(self) -> float | None:
        ends = [lease.until for lease in self._open_leases if not lease.has_spoken and lease.until > self.now]
        return min(ends, default=None)

    # What was done.

    def before_put(self, mail: Mail) -> None:
        """Forget a group's cancellation, if the last of its mails has been forgotten."""
        if mail.group in self.cancelled_groups - self._cancelled_before_mails and not self._is_known(mail.group):
            self.cancelled_groups.discard(mail.group)

    def before_cancel_group(self, group: str) -> None:
        """Call back the mails of a group, and those that will come."""
        self.cancelled_groups.add(group)
        if not self.spool.status_of_group(group):
            self._cancelled_before_mails.add(group)
        for known in self.living():
            if known.mail.group == group:
                known.called_back_at = self.step

    def was_put(self, mail: Mail, recipients: tuple[str, ...]) -> None:
        """A new mail is in the spool."""
        self._cancelled_before_mails.discard(mail.group)
        called_back_at = self.step if mail.group in self.cancelled_groups else None
        known = KnownMail(mail, recipients, None, unfinished_at=self.now, called_back_at=called_back_at)
        self.mails[mail.id] = known
        self.moved(known, State.DUE)
        self.touched[mail.id] = None

    def moved(self, known: KnownMail, state: State | None) -> None:
        """A mail is seen in another state than before; None if it is rightly forgotten."""
        counts, mailer, lane = self.counts, known.mail.mailer, known.mail.lane
        if known.state is not None:
            left = counts[mailer, lane, known.state] - 1
            if left:
                counts[mailer, lane, known.state] = left
            else:
                del counts[mailer, lane, known.state]
        if state is not None:
            counts[mailer, lane, state] = counts.get((mailer, lane, state), 0) + 1
        known.state = state

    def was_claimed(self, leased: Leased, worker: str, seconds: float) -> KnownLease:
        """A claim gave a mail out."""
        known = self.mails[leased.mail.id]
        if leased.token in known.leases:
            self.fail("one lease", f"mail {leased.mail.id} was given out twice under one token")
        last = known.newest
        lease = KnownLease(leased.token, known, worker, self.now + seconds, self.monotonic + seconds, known.life)
        lease.is_in_doubt = last is not None and last.life == known.life and last.leaves_doubt
        self.reached["a claim is in doubt"] += lease.is_in_doubt
        if (leased.in_doubt, leased.mail.ledger.in_doubt or not leased.in_doubt) != (lease.is_in_doubt, True):
            self.fail(
                "in doubt", f"{leased.mail.id} is claimed with in_doubt={leased.in_doubt}, expected {lease.is_in_doubt}"
            )
        known.leases[lease.token] = known.newest = lease
        self._open_leases.append(lease)
        if leased.slot:
            self._seats.setdefault((worker, known.mail.mailer), lease.until)
            self._seats_by_ours.setdefault((worker, known.mail.mailer), lease.ours_until)
        self._sit(lease)
        return lease

    def went_ahead(self, lease: KnownLease) -> None:
        """The envelope of a mail has gone out behind the dot of the one before it."""
        lease.is_ahead, self.has_just_gone_ahead = True, lease
        self.reached["an envelope goes ahead of its mark"] += lease.marked_at is None

    def was_marked(self, lease: KnownLease, ours: bool, seconds: float) -> None:
        """The spool has answered a mark."""
        if not ours:
            self.reached["a mark is refused"] += 1
            if lease.is_ahead:
                self.reached[f"a mark is refused behind its envelope: {lease.why_refused(self.now)}"] += 1
            return
        self._must_be_newest(lease, "mark")
        lease.extend(self.now + seconds, self.monotonic + seconds)
        self._sit(lease)
        if lease.marked_at is None:
            lease.marked_at = self.step
            lease.mail.attempts += 1

    def was_renewed(self, lease: KnownLease, ours: bool, seconds: float) -> None:
        """The spool has answered a renewal."""
        if ours:
            self.reached["a lease is renewed"] += 1
            self._must_be_newest(lease, "renew")
            lease.extend(self.now + seconds, self.monotonic + seconds)
            self._sit(lease)

    def was_left(self, worker: str, mailer: str) -> None:
        """A worker has given up its seat."""
        self.reached["a seat is given up"] += 1
        self._seats.pop((worker, mailer), None)
        self._seats_by_ours.pop((worker, mailer), None)
        if self._sessions[worker, mailer]:
            self.fail("sessions", f"{worker} has given up its seat of {mailer}, and its session is open")

    def before_open(self, worker: str, mailer: str) -> None:
        """A worker is about to use a session with a mailer's relay, or to open one."""
        if self._is_limited(mailer) and self.monotonic >= self._seats_by_ours.get((worker, mailer), 0.0):
            self.fail(
                "sessions", f"{worker} asks for a session with {mailer}, and its seat has run out by its own clock"
            )

    def after_drain(self, worker: str) -> None:
        """A worker goes idle."""
        for (name, mailer), number in self._sessions.items():
            if name == worker and number and self._is_limited(mailer):
                self.fail("sessions", f"{worker} goes idle, and its session with {mailer} stays open")

    def was_opened(self, worker: str, mailer: str) -> None:
        """A worker has opened a session with a mailer's relay."""
        self._sessions[worker, mailer] += 1
        if not self._is_limited(mailer):
            return
        most = self.plan.limits[mailer].sessions
        assert most is not None
        # Who has lost his seat by time stood still, or was cut off, and has not found out yet.
        rightful = sum(n for seat, n in self._sessions.items() if seat[1] == mailer and seat in self._seats)
        self.reached["all sessions are open"] += rightful == most
        if rightful > most:
            self.fail("sessions", f"{rightful} sessions are open with {mailer}, which allows {most}")

    def was_closed(self, worker: str, mailer: str) -> None:
        """A session is over."""
        self._sessions[worker, mailer] -= 1

    def _is_limited(self, mailer: str) -> bool:
        return mailer in self.plan.limits and self.plan.limits[mailer].sessions is not None

    def _sit(self, lease: KnownLease) -> None:
        """Make a worker's seat, if it has one, last at least as long as a lease."""
        seat = (lease.worker, lease.mail.mail.mailer)
        if seat in self._seats:
            self._seats[seat] = max(lease.until, self._seats[seat])
        if seat in self._seats_by_ours:
            self._seats_by_ours[seat] = max(lease.ours_until, self._seats_by_ours[seat])

    def was_said(
        self, lease: KnownLease, word: str, ours: bool, outcomes: Mapping[str, Outcome], *, resend: bool = False
    ) -> None:
        """The spool has answered a closing word."""
        known = lease.mail
        lease.has_spoken = True
        lease.is_done = lease.is_done or word == "done"
        if word == "snooze" and lease.copied:
            self.fail("truth", f"snooze says that nothing of {known.mail.id} went out; the relay has it")
        if known.state is None:
            return
        for recipient, outcome in outcomes.items():
            if outcome.kind is OutcomeClass.ACCEPTED:
                self.reached["a late word brings an acceptance"] += not ours and recipient not in known.told
                known.told.setdefault(recipient, self.step)
                if recipient not in lease.copied:
                    self.fail("truth", f"{word} says that the relay took {known.mail.id} for {recipient}; it has not")
        if not ours or lease.word == word:
            self.reached["a word is said again"] += ours
            return
        if lease.word:
            self.fail("one word", f"{word} counted after {lease.word} for one lease on {known.mail.id}")
        lease.word = word
        if word != "snooze":
            known.last_heard = {outcome.kind for outcome in outcomes.values()}
        self._must_be_newest(lease, word)
        if word == "snooze" and lease.marked_at is not None:
            known.attempts -= 1
        known.resends += resend

    def was_replayed(self, known: KnownMail) -> None:
        """A person has sent a mail on its way again."""
        self.reached["a mail is replayed"] += 1
        known.life += 1
        known.attempts = known.resends = 0
        known.cancelled_at = known.called_back_at = None

    def worker_died(self, name: str) -> None:
        """A worker is gone, wherever it stood, and its sessions with it."""
        for seat in [seat for seat in self._sessions if seat[0] == name]:
            del self._sessions[seat]
        for lease in self._open_leases:
            if lease.worker == name and not lease.has_spoken:
                lease.broken = lease.broken or "its worker died"
                self.reached["a worker dies before it has recorded a copy"] += bool(lease.copied)

    def wake(self) -> None:
        """Wake an idle worker, unless the wake-up is lost."""
        if self.chance() >= self.plan.lost_wakeup:
            self.has_wakeup = True

    def has_ready(self) -> bool:
        """Look as a worker's main process does once a second; an outage shows it nothing."""
        if self._looked_at != self.step:
            self._looked_at = self.step
            self._has_ready = self.now >= self.is_spool_away_until and self._look()
        return self._has_ready

    def _look(self) -> bool:
        return self.spool.has_ready(LANES)

    def touch(self, mails: Iterable[str]) -> None:
        for mail_id in mails:
            self.touched[mail_id] = None

    def living(self) -> Iterator[KnownMail]:
        """Iterate over the mails that the spool must know."""
        return (known for known in self.mails.values() if known.state is not None)

    def in_state(self, *states: State) -> list[KnownMail]:
        return [known for known in self.mails.values() if known.state in states]

    def _is_known(self, group: str | None) -> bool:
        """Tell whether the spool keeps a gate for a group: while it has mails, or is paused."""
        return group is not None and (group in self.paused_groups or bool(self.spool.status_of_group(group)))

    def _must_be_newest(self, lease: KnownLease, word: str) -> None:
        if lease.mail.newest is not lease:
            self.fail("one lease", f"{word} counted for lease {lease.token}, which is not the last one on its mail")
