"""The promises that are held against every step (DESIGN §1 and §8).

Some are asked when something goes out to the relay, the others of each mail whose state may have changed. A check never
raises: it tells the world, since it may run in the middle of a worker.

- accounted: an accepted mail is in exactly one state, and is forgotten only when purged or past its retention.
- final: a mail that has come to its end stays there; only the late news that all were accepted can still make it sent.
- ended: of a mail that has come to its end, or was given up, no word of a worker changes anything but what it says of
  recipients that were accepted; no mark or renewal of it is granted.
- cause: no mail ends, or waits for a person, without a cause that the policy knows.
- copies: of the transactions that brought a recipient a copy, all but one had an ambiguous event.
- flagged: a mail of which a recipient has two copies is in doubt, and a flag stays set.
- in doubt: a claim says so exactly if an earlier lease was marked and its worker never heard of again.
- resends: what may have gone out already is sent again at most MAILWORKER_IN_DOUBT_RESENDS times.
- accepted: what the spool was told was accepted stays in the ledger and is not tried again.
- truth: nothing is called accepted, or sent, that the relay has not taken; what it has taken is not called unsent.
- one lease: only the last lease on a mail may mark it or end it.
- marked: no dot is allowed before the spool has granted the mark.
- own lease: no dot is allowed when the lease has run out by the worker's own clock.
- one word: one word ends a lease, and counts once.
- order: no dot goes out while a dot of the same worker has not been recorded; none is forgotten.
- told: a worker tells that a mail is sent once the spool has heard it, not before, and not twice.
- taken back: a mail that a person was told is cancelled is not sent, nor one begun whose group was cancelled before.
- counts: the spool's counts are those of its mails' states.
- sessions: never are more open with a relay than its mailer allows, but of a worker that stood still, or was cut off from the
  spool, past its lease; and none is open whose seat was given up.
- no error: neither spool nor pipeline raises.
- at rest: once the faults stop, nothing stays due or leased.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from mailworker.delivery.event import Event, MailEvent
from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import MAX_LAPSES, Leased
from mailworker.spool.record import Ledger, Mail, MailStatus, State
from tests.simulation.known import KnownLease, KnownMail
from tests.simulation.plan import GROUPS
from tests.simulation.world import World

#: Seconds that a schedule may move the clock back, all in all: so much earlier may a retention end.
BACKWARDS = 60.0

#: Steps between two looks at everything in a seed that is not watched.
UNWATCHED = 16

#: States that nothing but late news changes.
FINISHED = frozenset(state for state in State if state.is_finished)

#: Those, and the one that only a person ends.
ENDED = FINISHED | {State.DEAD}

_REACHED = {state: f"a mail is {state.value}" for state in State}


def at_commit(world: World, lease: KnownLease, recipients: Sequence[str]) -> None:
    """Check that a worker lets a dot go only under a lease that it can know to be its own, and for whom.

    The envelope may have gone out before the mark was made: that alone sends nobody anything.
    """
    known = lease.mail
    if lease.marked_at is None:
        world.fail("marked", f"the dot of {known.mail.id} may go, and its mark was never granted")
    if world.monotonic >= lease.ours_until:
        world.fail("own lease", f"the dot of {known.mail.id} may go, although its lease has run out by our clock")
    # What was told after its work had begun could not stop it any more.
    since = world.step if lease.marked_at is None else lease.marked_at
    for recipient in recipients:
        if known.told.get(recipient, since) < since:
            world.fail("accepted", f"{recipient} of {known.mail.id} is tried again, although accepted")
        copies = known.copies.get(recipient)
        if copies and sum(one.life == lease.life and one.copied_at < since for one in copies) > world.plan.resends:
            world.fail("resends", f"{recipient} of {known.mail.id} is tried again after {len(copies)} copies")


def at_word(world: World, leased: Leased, word: str, outcomes: Mapping[str, Outcome], said: Callable[[], bool]) -> bool:
    """Say a word to the spool, and check what it does to a mail that has come to its end; return the answer."""
    mail_id = leased.mail.id
    was = world.mails[mail_id].state
    # A look brings a mail up to date. One that may be leased is not looked at: its word has to do that by itself.
    before = _ended(world, mail_id) if was in ENDED else None
    ours = said()
    if was is None and world.spool.get(mail_id) is not None:
        world.fail("ended", f"{word} has brought {mail_id} back, which was forgotten")
    if before is None:
        return ours
    world.reached["a word is said of a mail that has ended"] += 1
    if ours and word in ("mark", "renew"):
        world.fail("ended", f"{word} of {mail_id} is granted, which is {before[1].state.value}")
    after = _ended(world, mail_id)
    news = {r: o for r, o in outcomes.items() if o.kind is OutcomeClass.ACCEPTED}
    if after != before and (after is None or not _is_news(before, after, news, may_be_sent=word == "done")):
        shown = "elsewhere" if after is None else after[1].state.value
        world.fail("ended", f"{word} has changed {mail_id}, which was {before[1].state.value} and is {shown}")
    return ours


def _ended(world: World, mail_id: str) -> tuple[Mail, MailStatus] | None:
    """Return what the spool shows of a mail, if it has ended."""
    mail, status = world.spool.get(mail_id), world.spool.status(mail_id)
    return None if mail is None or status is None or status.state not in ENDED else (mail, status)


def _is_news(
    before: tuple[Mail, MailStatus],
    after: tuple[Mail, MailStatus],
    news: Mapping[str, Outcome],
    *,
    may_be_sent: bool,
) -> bool:
    """Tell whether two looks at a mail differ in nothing but acceptances that are new, and what follows from them."""
    (mail, status), (now_mail, now_status) = before, after
    merged = mail.ledger.merged(news)
    if now_status.state is State.SENT and status.state is not State.SENT:
        if not may_be_sent or any(outcome.kind is not OutcomeClass.ACCEPTED for outcome in merged.values()):
            return False
        mail, status = replace(mail, payload=now_mail.payload), replace(status, state=State.SENT)
    mail = replace(mail, ledger=replace(mail.ledger, outcomes=merged))
    return (now_mail, now_status) == (mail, replace(status, outcomes=merged))


def at_dot(world: World, lease: KnownLease, of_worker: Iterable[KnownLease]) -> None:
    """Check that a worker may end the content of a message; `of_worker` are all its leases."""
    for other in of_worker:
        if other.copied and not other.has_spoken and other is not lease:
            world.fail("order", f"the dot of {lease.mail.mail.id} goes out before {other.mail.mail.id} is recorded")


def at_copy(world: World, lease: KnownLease, recipients: tuple[str, ...]) -> None:
    """Take note that the relay has taken a copy for these recipients, and check that it may exist."""
    known = lease.mail
    for recipient in recipients:
        earlier = known.copies.setdefault(recipient, [])
        if lease in earlier or sum(not one.broken for one in (*earlier, lease)) > 1:
            world.fail(
                "copies", f"copy {len(earlier) + 1} of {known.mail.id} for {recipient} without an ambiguous event"
            )
        if earlier:
            known.has_second_copy = True
            world.reached["a second copy"] += 1
        earlier.append(lease)
    if known.cancelled_at is not None and not lease.broken:
        world.fail("taken back", f"{known.mail.id} is sent after a person was told that it is cancelled")
    if known.called_back_at is not None and lease.marked_at is not None and lease.marked_at > known.called_back_at:
        world.fail("taken back", f"work on {known.mail.id} was begun after its group was cancelled")
    lease.copied, lease.copied_at = recipients, world.step
    world.touched[known.mail.id] = None


def at_event(world: World, of_worker: Mapping[str, KnownLease], event: Event) -> None:
    """Check what a worker tells of a mail; `of_worker` are its leases by their mails."""
    if not isinstance(event, MailEvent) or event.kind != "sent":
        return
    lease = of_worker[event.mail_id]
    if not lease.is_done:
        world.fail("told", f"{event.mail_id} is told to be sent, and the spool has not heard it")
    if lease.is_told:
        world.fail("told", f"{event.mail_id} is told to be sent a second time")
    lease.is_told = True


def at_end_of_drain(world: World, of_worker: Iterable[KnownLease]) -> None:
    """Check that a worker that goes idle has said, and told, what became of everything that it sent."""
    for lease in of_worker:
        if lease.word == "done" and not lease.is_told:
            world.fail("told", f"the worker has gone on without telling that {lease.mail.mail.id} is sent")
        if lease.copied and not lease.has_spoken:
            world.fail("order", f"the worker has gone on without recording that {lease.mail.mail.id} was sent")


def after_step(world: World) -> None:
    """Check the mails whose state may have changed, and the counts."""
    if world.all_touched and (world.plan.is_watched or world.step % UNWATCHED == 0):
        world.all_touched = False
        for known in world.mails.values():
            look_at(world, known)
        _count(world)
    elif world.touched:
        for mail_id in world.touched:
            known = world.mails[mail_id]
            look_at(world, known)
        if world.plan.is_watched:
            _count(world)
    world.touched.clear()


def at_rest(world: World) -> None:
    """Check the end of a seed: everything has come to an end, or waits for a person."""
    for known in world.mails.values():
        if known.state in (State.DUE, State.LEASED):
            world.fail("at rest", f"{known.mail.id} is still {known.state.value}")


def look_at(world: World, known: KnownMail) -> None:
    """Check one mail, and take note of its state."""
    was = known.state
    if was is None:
        return
    mail_id = known.mail.id
    mail, status = world.spool.get(mail_id), world.spool.status(mail_id)
    if mail is None or status is None:
        is_over = world.now + BACKWARDS >= known.unfinished_at + world.plan.retention
        if not known.was_purged and not (is_over and was is not State.DEAD):
            world.fail("accounted", f"{mail_id} has vanished; it was {was.value}")
        world.moved(known, None)
        return
    state = status.state
    if state is not was:
        world.reached[_REACHED[state]] += 1
        _check_move(world, known, mail, state)
        world.moved(known, state)
    if state not in FINISHED:
        known.unfinished_at = world.now
    _check_ledger(world, known, mail.ledger)


def _check_ledger(world: World, known: KnownMail, ledger: Ledger) -> None:
    mail_id = known.mail.id
    outcomes = ledger.outcomes
    for recipient in known.told:
        if recipient not in outcomes or outcomes[recipient].kind is not OutcomeClass.ACCEPTED:
            world.fail("accepted", f"the ledger of {mail_id} has forgotten that {recipient} was accepted")
    for recipient, outcome in outcomes.items():
        if outcome.kind is OutcomeClass.ACCEPTED and recipient not in known.copies:
            world.fail("truth", f"the ledger of {mail_id} calls {recipient} accepted; the relay never took it")
    if ledger.in_doubt:
        known.is_flagged = True
    elif known.is_flagged or known.has_second_copy:
        world.fail("flagged", f"{mail_id} may exist twice, and its ledger does not say so")
    if ledger.attempts != known.attempts or ledger.in_doubt_resends != known.resends:
        world.fail(
            "one word",
            f"{mail_id} has {ledger.attempts} attempts and {ledger.in_doubt_resends} resends on its ledger, "
            f"and had {known.attempts} and {known.resends}",
        )


def _check_move(world: World, known: KnownMail, mail: Mail, state: State) -> None:
    mail_id = mail.id
    if state is State.SENT:
        if set(known.recipients) - known.told.keys():
            world.fail("truth", f"{mail_id} is sent, and not all of its recipients were accepted")
        return
    assert known.state is not None
    if known.state in FINISHED:
        world.fail("final", f"{mail_id} was {known.state.value} and is {state.value}")
    if not _has_cause(world, known, mail, state):
        world.fail("cause", f"{mail_id} is {state.value} without a cause ({mail.ledger.reason or 'no reason given'})")


def _has_cause(world: World, known: KnownMail, mail: Mail, state: State) -> bool:
    latest = world.now + BACKWARDS
    is_over = mail.expires_at is not None and mail.expires_at <= latest
    # A late acceptance may stand in the place of the outcome for which the worker gave the mail up.
    kinds = {outcome.kind for outcome in mail.ledger.outcomes.values()} | known.last_heard
    match state:
        case State.CANCELLED:
            return known.cancelled_at is not None or known.called_back_at is not None
        case State.EXPIRED:
            return is_over
        case State.HELD:
            return mail.on_in_doubt == "hold" and OutcomeClass.IN_DOUBT in kinds
        case State.DEAD | State.DROPPED:
            if mail.fail_silently is (state is State.DEAD):
                return False
            first, most = mail.ledger.first_attempt_at, world.plan.max_attempts
            # An attempt may have come too late to be charged, and found all recipients refused: no dot was asked for.
            uncharged = known.newest is not None and known.newest.marked_at is None
            return (
                is_over
                or bool(kinds & {OutcomeClass.IN_DOUBT, OutcomeClass.REJECTED})
                or mail.ledger.lapses >= MAX_LAPSES
                or (most is not None and mail.ledger.attempts + uncharged >= most)
                or (first is not None and first + world.plan.give_up_after <= latest)
            )
        case _:
            return True


def _count(world: World) -> None:
    counted = world.spool.stats().counts
    if counted != world.counts:
        world.fail("counts", f"the spool counts {_shown(counted)}; its mails are {_shown(world.counts)}")
    if world.plan.uses_groups:
        for group in GROUPS:
            in_group = Counter(one.state for one in world.mails.values() if one.state and one.mail.group == group)
            if world.spool.status_of_group(group) != in_group:
                world.fail("counts", f"the counts of group {group} are not those of its mails")


def _shown(counts: Mapping[tuple[str, Lane, State], int]) -> str:
    return ", ".join(sorted(f"{mailer}/{lane.value}/{state.value}: {n}" for (mailer, lane, state), n in counts.items()))
