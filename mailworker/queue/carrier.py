"""The task carrier: cargo into a spool of its own, the pipeline over it, and back to the broker what is left.

Nothing leaves this module by an exception but `Reject(requeue=True)`: any other one, under late acks, would drop the
cargo. What is left over is published and confirmed before the task is acknowledged. The promise is Celery's: one death
of a worker, or one blip of the broker's connection, may repeat a whole chunk; then every mail in it is flagged in doubt
and travels alone, so that one that kills its workers is found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from celery import Celery
from celery.exceptions import Reject

from mailworker import framework, log, settings
from mailworker.delivery import foreign
from mailworker.queue import cargo as cargos
from mailworker.queue import dead, heartbeat, runtime, shutdown, signals
from mailworker.queue.cargo import Broken
from mailworker.queue.dispatch import MAX_HOP, Dispatch, chunks
from mailworker.queue.publisher import PublishError
from mailworker.queue.runtime import Runtime
from mailworker.spool.base import MAX_LAPSES
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, State

logger = log.get(__name__)

#: Seconds that one task may go on claiming. The rest is published again: RabbitMQ ends a consumer that has not acked
#: for 30 min, and on Redis a task that outlives the visibility timeout (1 h) runs twice; both clocks run from the fetch, so
#: a task's ETA (`MAX_HOP`) and the run of the one before it count as well.
MAX_RUN = 300.0

#: Seconds between two tries to give mails back to a broker that does not take them.
_REPUBLISH_WAIT = 1.0


#: Seconds that a mail waits which is due and was not given out: another slot is probing its mailer's relay.
_BLOCKED_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a run leaves behind.

    Attributes:
        due: mails to publish again, each with the seconds that it has to wait.
        dead: mails for the dead queue, dead or held.
        broken: entries for the dead queue that are no mails.
    """

    due: tuple[tuple[Mail, float], ...] = ()
    dead: tuple[tuple[Mail, State], ...] = ()
    broken: tuple[Broken, ...] = ()


def carry(app: Celery, cargo: Any, *, redelivered: bool) -> None:
    """Deliver the cargo of one task.

    Args:
        app: whose task it is.
        cargo: the task's argument.
        redelivered: the broker gave it to a worker before.

    Raises:
        Reject: with requeue, when the broker takes back nothing and the worker stops.
    """
    try:
        _carry(app, cargo, redelivered=redelivered)
    finally:
        shutdown.run_ended()


def _carry(app: Celery, cargo: Any, *, redelivered: bool) -> None:
    try:
        parts = runtime.current()
        mails, broken = cargos.unpack(cargo, parts.sealer)
        left = taken_up(mails) if redelivered else delivered(mails, parts)
        left = replace(left, broken=(*left.broken, *broken))
    except BaseException as error:
        # No exception may leave a task that has cargo, but what is meant for the process.
        if not foreign.is_failure(error):
            raise
        # Settings that this worker cannot read, or a bug of ours: another worker, or a later try, may do better.
        logger.error("cargo goes back to the broker: %s", type(error).__name__, extra={"mail_ids": cargos.ids(cargo)})
        _wait(_REPUBLISH_WAIT * 5)
        raise Reject("mailworker: cannot deliver now", requeue=True) from None
    _give_back(app, left, parts)


def taken_up(mails: Iterable[Mail]) -> Leftover:
    """Flag mails whose worker was lost: they go on one by one, are held, or are given up after three losses."""
    now = time.time()
    due: list[tuple[Mail, float]] = []
    dead_ones: list[tuple[Mail, State]] = []
    for mail in mails:
        if mail.due_at > now:
            # Not due yet, so no worker can have begun it: a warm shutdown gave it back.
            due.append((mail, mail.due_at - now))
            continue
        lapses = mail.ledger.lapses + 1
        flagged = replace(mail, ledger=replace(mail.ledger, lapses=lapses, in_doubt=True))
        logger.warning("a worker was lost with mail %s", mail.id, extra={"mail_id": mail.id, "lapses": lapses})
        if lapses >= MAX_LAPSES:
            reason = f"its worker was lost {lapses} times in a row"
            state = State.DROPPED if mail.fail_silently else State.DEAD
            dead_ones.append((_reasoned(flagged, reason), state))
        elif mail.on_in_doubt == "hold":
            dead_ones.append((_reasoned(flagged, "in doubt: its worker was lost while it had it"), State.HELD))
        else:
            due.append((flagged, 0.0))
    return Leftover(tuple(due), tuple(dead_ones))


def delivered(mails: list[Mail], parts: Runtime) -> Leftover:
    """Run the pipeline over the mails and return what is left of them."""
    spool = MemorySpool(gates=parts.gates)
    spool.put([replace(mail, ledger=replace(mail.ledger, lapses=0)) for mail in mails])
    ends = time.monotonic() + MAX_RUN

    def should_stop() -> bool:
        heartbeat.between_messages()
        return shutdown.is_stopping() or time.monotonic() >= ends

    around = framework.current().around_batch
    parts.pipeline(spool, should_stop, tell=signals.send, around_batch=around).run()
    return leftover(spool, dict.fromkeys(mail.id for mail in mails), at_least=0.0 if should_stop() else _BLOCKED_WAIT)


def leftover(spool: MemorySpool, mail_ids: Iterable[str], at_least: float = 0.0) -> Leftover:
    """Sort what a spool still holds into what has to go back to the broker, and where to.

    Args:
        spool: after a run.
        mail_ids: what was put into it.
        at_least: seconds that each mail waits, however soon it is due.
    """
    now = spool.now()
    due: list[tuple[Mail, float]] = []
    dead_ones: list[tuple[Mail, State]] = []
    for mail_id in mail_ids:
        mail, status = spool.get(mail_id), spool.status(mail_id)
        if mail is None or status is None or status.state.is_finished:
            continue
        if status.state in (State.DEAD, State.HELD):
            dead_ones.append((mail, status.state))
        else:
            opens = spool.mailer_state(mail.mailer).paused_until or now
            wait = max(opens - now, at_least)
            if mail.due_at - now < wait:
                mail = _put_off(mail, now, min(wait, MAX_HOP))
            due.append((mail, mail.due_at - now))
    return Leftover(tuple(due), tuple(dead_ones))


def _put_off(mail: Mail, now: float, wait: float) -> Mail:
    """Let a mail wait that is kept back by its mailer; so nobody takes it for begun if a worker stops meanwhile."""
    ledger = mail.ledger
    if ledger.first_attempt_at is not None and wait > 0:
        ledger = replace(ledger, snoozed=ledger.snoozed + now + wait - max(mail.due_at, now))
    return replace(mail, due_at=max(mail.due_at, now + wait) if wait > 0 else mail.due_at, ledger=ledger)


def _give_back(app: Celery, left: Leftover, parts: Runtime) -> None:
    conf = settings.current()
    dispatch = Dispatch(app, conf.MAILWORKER_NAMESPACE, parts.sealer, timeout=10.0)
    work: list[Callable[[bool], None]] = []
    for mail, state in left.dead:
        if mail.ledger.lapses:
            silent = state is State.DROPPED
            words = f"mail {'dropped' if silent else 'is ' + state.value}: {mail.ledger.reason}: mail_id={mail.id}"
            logger.log(logging.INFO if silent else logging.ERROR, words, extra={"mail_id": mail.id})
    graves = [dead.entry(mail, state, parts.sealer) for mail, state in left.dead if state is not State.DROPPED]
    for one in left.broken:
        grave = dead.broken_entry(one)
        logger.error("mail cannot be read: %s: id=%s", one.reason, grave["id"], extra={"mail_id": grave["id"]})
        graves.append(grave)
    work += [lambda _, grave=grave: _bury(dispatch, grave) for grave in graves]  # type: ignore[misc]
    by_wait: dict[int, list[Mail]] = {}
    for mail, wait in left.due:
        # Whole seconds, upwards: mails that wait about as long travel together, and none comes early.
        hop = min(MAX_HOP, max(0.0, wait))
        by_wait.setdefault(int(-(-hop // 1)), []).append(mail)
    for wait, mails in by_wait.items():
        for chunk in chunks(mails, alone=any(mail.ledger.lapses for mail in mails)):
            work.append(
                lambda again, chunk=chunk, wait=wait: dispatch.deliver(  # type: ignore[misc]
                    _in_doubt(chunk) if again else chunk, countdown=wait
                )
            )
    for publish in work:
        _until_taken(publish)


def _bury(dispatch: Dispatch, grave: dict[str, Any]) -> None:
    dispatch.dead(grave)
    logger.info("dead letter kept: id=%s state=%s", grave["id"], grave["state"], extra={"mail_id": grave["id"]})


def _in_doubt(mails: list[Mail]) -> list[Mail]:
    return [replace(mail, ledger=replace(mail.ledger, in_doubt=True)) for mail in mails]


def _until_taken(publish: Callable[[bool], None]) -> None:
    """Publish, and try again until the broker has it or the worker stops; tell whether it may have it already."""
    may_have_it = False
    while True:
        try:
            publish(may_have_it)
        except PublishError as error:
            may_have_it = may_have_it or error.maybe_published
            logger.warning("the broker does not take mails back: %s", error)
        else:
            return
        if shutdown.is_stopping():
            raise Reject("mailworker: the broker does not take mails back", requeue=True)
        _wait(_REPUBLISH_WAIT)


def _wait(seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not shutdown.is_stopping():
        heartbeat.between_messages()
        time.sleep(0.1)


def _reasoned(mail: Mail, reason: str) -> Mail:
    return replace(mail, ledger=replace(mail.ledger, reason=reason))
