"""The queue of dead cargo: what the task carrier gave up, holds, or could not read, kept until a person acts.

Nobody consumes it. Each message is one entry of plain JSON: the mail as cargo with its ledger, its state and the reason;
or, where no mail could be read, the entry as it came. Entries are looked at without taking them: they are fetched
unacknowledged and put back. So two people who look at once see a part each, and one whose process is killed while it looks
hides them until the broker gives them back (Redis: after its visibility timeout).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from celery import Celery
from kombu import Connection, Message, Queue
from kombu.exceptions import KombuError

from mailworker.errors import EnqueueError
from mailworker.mail.sealing import Sealer
from mailworker.queue import cargo, lanes
from mailworker.queue.cargo import Broken
from mailworker.queue.dispatch import Dispatch
from mailworker.queue.publisher import PublishError, connect
from mailworker.refusal import reason
from mailworker.spool.record import Ledger, Mail, State

#: Seconds that fetching an entry may take before the broker counts as broken.
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the dead queue.

    Attributes:
        id: the mail's id; for what is no mail, an id of the entry's own.
        state: "dead", "held" or "broken".
        reason: why it is here.
        died_at: when it came here, seconds since the epoch.
        mail: the mail, None if it cannot be read here.
    """

    id: str
    state: str
    reason: str
    died_at: float
    mail: Mail | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`: the ledger, and nothing of the message."""
        shown: dict[str, Any] = {"id": self.id, "state": self.state, "reason": self.reason, "died_at": self.died_at}
        if self.mail is not None:
            ledger = self.mail.ledger
            shown |= {
                "mailer": self.mail.mailer,
                "attempts": ledger.attempts,
                "in_doubt": ledger.in_doubt,
                "outcomes": {recipient: outcome.to_json() for recipient, outcome in ledger.outcomes.items()},
            }
        return shown


def entry(mail: Mail, state: State, sealer: Sealer) -> dict[str, Any]:
    """Return the message for a dead or held mail."""
    return {
        "id": mail.id,
        "state": state.value,
        "reason": mail.ledger.reason,
        "died_at": time.time(),
        "cargo": cargo.pack([mail], sealer),
    }


def broken_entry(broken: Broken) -> dict[str, Any]:
    """Return the message for what is no mail, as it came."""
    known = cargo.ids({"mails": [broken.entry]})
    return {
        "id": known[0] if known else uuid.uuid4().hex,
        "state": "broken",
        "reason": broken.reason,
        "died_at": time.time(),
        "cargo": broken.entry,
    }


@contextmanager
def reached(app: Celery, timeout: float) -> Iterator[Connection]:
    """Lend a connection to an app's broker.

    Args:
        app: whose broker.
        timeout: seconds that one wait may take.

    Raises:
        EnqueueError: it cannot be reached, or is lost meanwhile.
    """
    try:
        with connect(app, timeout) as connection:
            try:
                yield connection
            except (OSError, KombuError, *connection.connection_errors, *connection.channel_errors) as error:
                raise PublishError(reason(error), maybe_published=False) from error
    except PublishError as error:
        raise EnqueueError(
            f"the broker cannot be reached ({error}); check MAILWORKER_BROKER_URL, or run `mailworker check`"
        ) from error


class DeadQueue:
    """The dead queue of an app.

    Args:
        app: whose broker keeps it.
        namespace: names it.
        sealer: opens what is encrypted.
    """

    def __init__(self, app: Celery, namespace: str, sealer: Sealer) -> None:
        self._app = app
        self._sealer = sealer
        self._namespace = namespace
        self._dispatch = Dispatch(app, namespace, sealer, _TIMEOUT)

    def entries(self) -> list[Entry]:
        """Return what is in the queue, oldest first.

        Raises:
            EnqueueError: the broker cannot be reached.
        """
        found: list[Entry] = []

        def visit(one: Entry) -> bool:
            found.append(one)
            return False

        self._visit(visit)
        return found

    def replay(self, ids: set[str] | None) -> list[str]:
        """Send dead and held mails again, to the recipients that were not accepted, with fresh attempts.

        Args:
            ids: which; None = all that can be read.

        Returns:
            The ids that were put back on their way.

        Raises:
            EnqueueError: the broker cannot be reached.
        """
        replayed: list[str] = []

        def visit(one: Entry) -> bool:
            if one.mail is None or (ids is not None and one.id not in ids):
                return False
            self._dispatch.deliver([fresh(one.mail, time.time())])
            replayed.append(one.id)
            return True

        self._visit(visit)
        return replayed

    def purge(self, ids: set[str] | None) -> list[str]:
        """Remove entries for good; None = all. Returns the ids that were removed.

        Raises:
            EnqueueError: the broker cannot be reached.
        """
        purged: list[str] = []

        def visit(one: Entry) -> bool:
            if ids is not None and one.id not in ids:
                return False
            purged.append(one.id)
            return True

        self._visit(visit)
        return purged

    def _visit(self, visit: Callable[[Entry], bool]) -> None:
        """Show each entry once; those for which `visit` returns True are taken out, the others put back."""
        queue: Queue = lanes.declared(lanes.dead_queue_name(self._namespace))
        with reached(self._app, _TIMEOUT) as connection:
            self._visit_on(queue(connection.default_channel), visit)

    def _visit_on(self, queue: Queue, visit: Callable[[Entry], bool]) -> None:
        queue.declare()
        fetched = []
        while (message := queue.get()) is not None:
            fetched.append(message)
        try:
            for message in fetched:
                if visit(self._read(message)):
                    message.ack()
        finally:
            for message in fetched:
                if not message.acknowledged:
                    message.requeue()

    def _read(self, message: Message) -> Entry:
        try:
            payload = message.payload
        except Exception:  # noqa: BLE001 - what somebody else has put here may be anything; the entries beside it are read
            payload = None
        if not isinstance(payload, dict):
            return Entry("?", "broken", "the entry is no record", 0.0)
        kept = payload.get("cargo")
        if payload.get("state") == "broken":
            # One worker could not read it. This process may: it may have the keys that were missing there.
            kept = {"v": cargo.VERSION, "mails": [kept]}
        mails, _ = cargo.unpack(kept, self._sealer)
        return Entry(
            str(payload.get("id", "?")),
            str(payload.get("state", "?")),
            str(payload.get("reason", "")),
            _seconds(payload.get("died_at")),
            mails[0] if len(mails) == 1 else None,
        )


def _seconds(value: Any) -> float:
    """Return when an entry came here; 0 where it does not say."""
    try:
        return cargo.finite(value)
    except (ArithmeticError, TypeError, ValueError):
        return 0.0


def fresh(mail: Mail, now: float) -> Mail:
    """Return a given-up mail as one to be tried now: what was accepted stays, the rest of its ledger is new."""
    accepted = {r: outcome for r, outcome in mail.ledger.outcomes.items() if r in mail.ledger.accepted}
    ledger = Ledger(outcomes=accepted, in_doubt=mail.ledger.in_doubt)
    return replace(mail, due_at=now, expires_at=None, ledger=ledger)
