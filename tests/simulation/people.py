"""Producers that put mails in and people that act on them, one atomic call after the other.

What a call must answer follows from the state that the mail was in; a wrong answer is a broken promise.
"""

from __future__ import annotations

from dataclasses import replace

from mailworker.lane import Lane
from mailworker.spool.record import Mail, State
from tests.simulation import promises
from tests.simulation.known import KnownMail
from tests.simulation.plan import GROUPS, MAILERS
from tests.simulation.world import World

#: Whom mails go to.
RECIPIENTS = ("a@one.example", "b@one.example", "c@two.example", "d@three.example")

_LANES = (Lane.NORMAL, Lane.NORMAL, Lane.HIGH, Lane.BULK)

#: Which states a person's word counts in, and the state that follows.
_WORDS = {
    "cancel": ((State.DUE, State.HELD), State.CANCELLED),
    "replay": ((State.DEAD, State.HELD), State.DUE),
    "purge": ((State.DEAD,), None),
}


class Producers:
    """Those who send; one whose call failed makes it again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._number = 0
        #: Mails whose put failed, or whose answer was lost.
        self._unsure: list[Mail] = []

    def act(self) -> None:
        """Put a mail in, or one that is known once more."""
        world, chance = self._world, self._world.chance
        again = [known.mail for known in world.living()] if chance() < 0.2 else []
        if self._unsure and chance() < 0.5:
            self._put([self._unsure.pop()])
        elif again:
            self._put([again[int(chance() * len(again))]])
        elif self._number < world.plan.mails:
            mails = [self._new() for _ in range(1 + int(chance() * 2))]
            if chance() < world.plan.series:
                mails += [self._new() for _ in range(2)]
                first = mails[0]
                mails = [replace(mail, mailer=first.mailer, lane=first.lane, group=first.group) for mail in mails]
            self._put(mails)

    def finish(self) -> None:
        """Make the calls again that are not known to have been made."""
        while self._unsure:
            self._put([self._unsure.pop()])

    def _new(self) -> Mail:
        world, chance = self._world, self._world.chance
        self._number += 1
        first = int(chance() * len(RECIPIENTS))
        recipients = [RECIPIENTS[(first + i) % len(RECIPIENTS)] for i in range(1 + int(chance() * chance() * 4))]
        domains = {recipient.partition("@")[2] for recipient in recipients}
        mail = Mail(
            id=f"m{self._number}",
            payload=",".join(recipients).encode(),
            mailer=MAILERS[chance() < 0.25],
            lane=_LANES[int(chance() * 4)],
            created_at=world.now,
            due_at=world.now,
            on_in_doubt="hold" if chance() < 0.25 else "resend",
            fail_silently=chance() < 0.2,
            group=GROUPS[chance() < 0.5] if world.plan.uses_groups and chance() < 0.8 else None,
            domain=domains.pop() if len(domains) == 1 else None,
        )
        kind = chance()
        if kind < 0.15:
            return replace(mail, expires_at=world.now + 1 + 600 * chance())
        return replace(mail, due_at=world.now + 100 * chance()) if kind < 0.3 else mail

    def _put(self, mails: list[Mail]) -> None:
        world, plan, chance = self._world, self._world.plan, self._world.chance
        # One that was accepted, and is rightly forgotten, would be a new mail.
        for mail in mails:
            world.before_put(mail)
            if mail.id in world.mails:
                promises.look_at(world, world.mails[mail.id])
        mails = [mail for mail in mails if mail.id not in world.mails or world.mails[mail.id].state is not None]
        shown = ", ".join(mail.id for mail in mails)
        if world.now < world.is_spool_away_until or chance() < plan.unmade:
            world.note("producer", f"put {shown}: the spool is away")
            self._unsure += mails
            return
        expected = [mail.id not in world.mails for mail in mails]
        answer = world.spool.put(mails)
        for mail, is_new in zip(mails, expected, strict=True):
            world.touch([mail.id])
            if is_new:
                world.was_put(mail, tuple(mail.payload.decode().split(",")))
        world.note("producer", f"put {shown} -> {answer}")
        if answer != expected:
            world.fail("accounted", f"put answered {answer} for {shown}, expected {expected}")
        if chance() < plan.lost_reply:
            world.note("producer", "the answer is lost")
            self._unsure += mails
        else:
            world.wake()


class People:
    """Those who look after the queue."""

    def __init__(self, world: World) -> None:
        self._world = world

    def act(self) -> None:
        """Do something to a mail, a mailer or a group."""
        world, chance = self._world, self._world.chance
        kind = chance()
        if kind < 0.6:
            waiting = world.in_state(State.DEAD, State.HELD) if chance() < 0.3 else []
            mails = waiting or list(world.living())
            if mails:
                word = ("cancel", "replay", "replay", "purge")[int(chance() * 4)]
                self._act_on(mails[int(chance() * len(mails))], word)
        elif kind < 0.8 or not world.plan.uses_groups:
            mailer = MAILERS[chance() < 0.3]
            self._do("pause" if chance() < 0.4 else "resume", mailer)
        else:
            group = GROUPS[chance() < 0.5]
            word = ("pause_group", "resume_group", "resume_group", "cancel_group")[int(chance() * 4)]
            self._do(word, group)

    def call_back(self, group: str) -> None:
        """Cancel a group; half of the time it is open again at once, for what comes later."""
        self._do("cancel_group", group)
        if self._world.chance() < 0.5:
            self._do("resume_group", group)

    def open_all(self) -> None:
        """Open every gate that a person can close."""
        for mailer in MAILERS:
            # What the breaker has closed opens by itself.
            if self._world.spool.mailer_state(mailer).paused_by_person:
                self._do("resume", mailer)
        for group in GROUPS:
            self._do("resume_group", group)

    def _act_on(self, known: KnownMail, word: str) -> None:
        world = self._world
        mail_id = known.mail.id
        status = world.spool.status(mail_id)
        if status is None:
            return
        allowed, follows = _WORDS[word]
        expected = status.state in allowed
        answer = getattr(world.spool, word)(mail_id)
        world.touch([mail_id])
        world.note("person", f"{word} {mail_id}, which is {status.state.value} -> {answer}")
        if answer:
            if word == "cancel":
                known.cancelled_at = world.step
            elif word == "replay":
                world.was_replayed(known)
            else:
                known.was_purged = True
        after = world.spool.status(mail_id)
        state = None if after is None else after.state
        if answer is not expected or state is not (follows if expected else status.state):
            world.fail(
                "taken back", f"{word} answered {answer} for {mail_id}, which was {status.state}, and is {state}"
            )

    def _do(self, word: str, name: str) -> None:
        world = self._world
        if word == "cancel_group":
            world.before_cancel_group(name)
        elif word == "pause_group":
            world.paused_groups.add(name)
        elif word == "resume_group":
            world.paused_groups.discard(name)
            world.cancelled_groups.discard(name)
        getattr(world.spool, word)(name)
        world.all_touched = True
        world.note("person", f"{word} {name}")
