"""A model of the relay and of the backend that talks to it: the steps of `mail.course` and `smtp.transaction`, without a wire.

It keeps the order in which they tell their journal of each message, and their rules for 421, for a connection that is lost,
and for the envelope that goes out behind the final dot of the message before. Every copy that the relay takes is told to the
world, at the very step at which it is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mailworker.errors import DeliveryFailed, MailerUnavailable, Trouble
from mailworker.mail.journal import Journal
from mailworker.outcome import Outcome, OutcomeClass, Reply
from tests.simulation import promises
from tests.simulation.known import KnownLease
from tests.simulation.message import Message
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.worker import Worker

ACCEPTED = Outcome(OutcomeClass.ACCEPTED, Reply(250, "queued", "2.0.0"))
DEFERRED = Outcome(OutcomeClass.DEFERRED, Reply(450, "later", "4.2.0"))
REJECTED = Outcome(OutcomeClass.REJECTED, Reply(550, "nobody", "5.1.1"))
GO_AWAY = Outcome(OutcomeClass.DEFERRED, Reply(421, "go away", "4.3.2"))
LOST = Outcome(OutcomeClass.DEFERRED, None, "connection lost before the dot")
IN_DOUBT = Outcome(OutcomeClass.IN_DOUBT, None, "connection lost after the dot")


class Backend:
    """A backend of ours, in the hands of one worker."""

    reports_outcomes = True

    def __init__(self, world: World, worker: Worker, mailer: str) -> None:
        self._world = world
        self._worker = worker
        self._mailer = mailer
        self._is_connected = False
        #: The session has seen a transaction.
        self._is_used = False
        #: The next message, and those that are rendered before their turn.
        self._following: Message | None = None
        self._rendered: set[str] = set()
        #: The message whose envelope has gone out behind a dot, until its answers are read.
        self._underway: Message | None = None

    def open(self) -> bool:
        if self._is_open:
            return False
        self._worker.pause()
        if self._happens(self._world.plan.refused):
            self._world.note(self._worker.name, "the relay refuses the connection")
            raise MailerUnavailable("connection refused", Trouble.CONNECT)
        self._is_open = True
        return True

    @property
    def _is_open(self) -> bool:
        return self._is_connected

    @_is_open.setter
    def _is_open(self, is_open: bool) -> None:
        if is_open is not self._is_connected and not self._worker.is_dead:
            (self._world.was_opened if is_open else self._world.was_closed)(self._worker.name, self._mailer)
        if self._underway is not None and not is_open:
            # With the session goes what was on its way in it.
            self._lease(self._underway).is_ahead = False
            self._underway = None
        self._is_connected, self._is_used = is_open, is_open and self._is_used

    def close(self) -> None:
        self._is_open = False

    def send_messages(self, email_messages: Iterable[Message], journal: Journal | None = None) -> int:
        assert journal is not None
        messages = list(email_messages)
        for message in messages:
            message.outcomes = {}
        self._rendered = set()
        accepted = 0
        failure: DeliveryFailed | None = None
        begun: Message | None = None
        for place, message in enumerate(messages):
            is_begun, begun = begun is message, None
            if not is_begun:
                if not journal.may_begin(message):  # type: ignore[arg-type]
                    continue
                self._make_ready()
                if not journal.beginning(message):  # type: ignore[arg-type]
                    continue
            self._following = messages[place + 1] if place + 1 < len(messages) else None
            outcomes = self._transact(message, journal)
            if not outcomes:
                continue
            message.outcomes = outcomes
            if ACCEPTED in outcomes.values():
                accepted += 1
            elif failure is None:
                failure = DeliveryFailed("the message was accepted for none of its recipients", outcomes)
            begun = self._to_begin(journal)
            journal.settled(message, begun)  # type: ignore[arg-type]
        if failure is not None:
            raise failure
        return accepted

    def _to_begin(self, journal: Journal) -> Message | None:
        """Return the message whose work begins as the one before it is recorded; one that may not ends the session."""
        if self._underway is None:
            # Its envelope could not go ahead, but what is to be noted of both can go together.
            return self._following if self._may_follow(journal) else None
        if not journal.may_begin(self._underway):  # type: ignore[arg-type]
            self._world.note(self._worker.name, f"{self._underway.mail_id} may not begin behind its envelope")
            self._is_open = False
        return self._underway

    def _may_follow(self, journal: Journal) -> bool:
        following = self._following
        if following is None or following.mail_id not in self._rendered or not self._is_open:
            return False
        return journal.may_begin(following)  # type: ignore[arg-type]

    def _make_ready(self) -> None:
        """Make sure of a session; one that was idle may be over."""
        if self._is_open and self._happens(self._world.plan.gone):
            self._world.note(self._worker.name, "the relay has closed the session")
            self._is_open = False
        self.open()

    def _meanwhile(self, journal: Journal) -> None:
        """The relay works: time for what nobody waits for."""
        journal.meanwhile()
        if self._following is not None and self._happens(self._world.plan.rendered):
            self._rendered.add(self._following.mail_id)

    def _transact(self, message: Message, journal: Journal) -> dict[str, Outcome]:
        """Say MAIL, RCPT and DATA, again in a new session after a first 421; no outcomes if the journal withdrew it."""
        world, plan = self._world, self._world.plan
        was_sent_away = False
        while True:
            if self._underway is None:
                self._make_ready()
            began = world.monotonic
            outcomes = self._envelope(message, journal)
            if self._is_used and self._happens(plan.gone):
                world.note(self._worker.name, f"the session was over before the envelope of {message.mail_id}")
                self._is_open = False
                continue
            self._is_used = True
            if self._happens(plan.sent_away):
                world.note(self._worker.name, f"421 to {message.mail_id}")
                self._is_open = False
                if was_sent_away:
                    return {r: outcomes.get(r, GO_AWAY) for r in message.recipients()}
                was_sent_away = True
                continue
            return self._content(message, journal, outcomes, began)

    def _envelope(self, message: Message, journal: Journal) -> dict[str, Outcome]:
        """Name the recipients, unless that is done; return the outcomes of those that are refused."""
        world, plan = self._world, self._world.plan
        self._worker.pause()
        is_ahead, self._underway = self._underway is message, None
        if not is_ahead:
            self._meanwhile(journal)
        refused = {}
        if plan.deferred or plan.rejected:
            for recipient in message.recipients():
                if self._happens(plan.deferred):
                    refused[recipient] = DEFERRED
                elif self._happens(plan.rejected):
                    refused[recipient] = REJECTED
        if world.log is not None:
            shown = ", ".join(message.recipients())
            what = "answers to the envelope" if is_ahead else "envelope"
            world.note(self._worker.name, f"{what} of {message.mail_id} for {shown}; refused: {len(refused)}")
        return refused

    def _content(
        self, message: Message, journal: Journal, outcomes: dict[str, Outcome], began: float
    ) -> dict[str, Outcome]:
        world, plan = self._world, self._world.plan
        taken = tuple(r for r in message.recipients() if r not in outcomes)
        if not taken:
            return outcomes
        if self._happens(plan.slow):
            self._worker.sleep(plan.deadline * 1.2 * world.chance())
        if self._happens(plan.dropped):
            return self._lost_before_dot(message, outcomes)
        # Asked before the dot is, since its yes has its time.
        goes_ahead = bool(plan.pipelines) and self._may_follow(journal) and self._happens(plan.pipelines)
        if not journal.committing(message):  # type: ignore[arg-type]
            world.note(self._worker.name, f"no dot for {message.mail_id}")
            self._is_open = False
            return {}
        promises.at_commit(world, self._lease(message), taken)
        if world.monotonic - began >= plan.deadline:
            return self._lost_before_dot(message, outcomes)
        return outcomes | self._dot(message, taken, journal, self._following if goes_ahead else None)

    def _lost_before_dot(self, message: Message, outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
        self._world.note(self._worker.name, f"connection lost before the dot of {message.mail_id}")
        self._is_open = False
        return {r: outcomes.get(r, LOST) for r in message.recipients()}

    def _dot(
        self, message: Message, taken: tuple[str, ...], journal: Journal, behind: Message | None
    ) -> dict[str, Outcome]:
        """End the content; what the relay does with it and whether its answer arrives are two questions.

        Args:
            message: which one.
            taken: the recipients that the relay took.
            journal: hears of it.
            behind: the message whose envelope goes out behind the dot, if one does.
        """
        world, plan = self._world, self._world.plan
        self._worker.pause()
        lease = self._lease(message)
        outcome = ACCEPTED
        if self._happens(plan.at_dot):
            outcome = DEFERRED if world.chance() < 0.5 else REJECTED
        is_doubtful = self._happens(plan.doubtful)
        if is_doubtful and world.chance() < 0.3:
            # The dot was lost as well.
            outcome = LOST
        promises.at_dot(world, lease, self._worker.leases.values())
        if outcome is ACCEPTED:
            promises.at_copy(world, lease, taken)
            world.has_just_sent = self._worker.name
        if is_doubtful:
            lease.broken = lease.broken or "connection lost after the dot"
            self._is_open = False
            shown, outcome = f"{outcome.kind.value}, which is lost", IN_DOUBT
        elif outcome is DEFERRED and world.chance() < 0.3:
            # It goes, and what was to come behind goes with it.
            self._is_open = False
            shown, outcome = "421", GO_AWAY
        else:
            shown = outcome.kind.value
        world.note(self._worker.name, f"dot of {message.mail_id} for {', '.join(taken)} -> {shown}")
        if behind is not None and self._is_open:
            self._underway = behind
            world.went_ahead(self._lease(behind))
        self._meanwhile(journal)
        if self._happens(plan.slow):
            self._worker.sleep(plan.deadline * world.chance())
        elif behind is not None:
            # Time for others between the envelope and the mark, where all may still come otherwise.
            self._worker.pause()
        return dict.fromkeys(taken, outcome)

    def _lease(self, message: Message) -> KnownLease:
        return self._worker.leases[message.mail_id]

    def _happens(self, rate: float) -> bool:
        return rate > 0.0 and self._world.chance() < rate
