"""What was given up or is held, wherever it is kept: in the spool, and in the broker's queue of dead cargo, as one list.

A mail dies in the carrier that it travelled in, and who changes the carrier has some in both; so a person sees them together.
Either side may be away: what the other has is still told, and `away` says why. Looking takes nothing out. The spool's are read
a page at a time, by when they came there; the broker's can only be fetched all at once, which is done once for each object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from celery import Celery

from mailworker.errors import EnqueueError
from mailworker.lane import LANES
from mailworker.outcome import Outcome
from mailworker.queue import lanes, spools
from mailworker.queue.compose import tools
from mailworker.queue.dead import DeadQueue, Entry, reached
from mailworker.settings import Settings
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.record import Mail, MailStatus, State

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage
    from mailworker.spool.redis import RedisSpool

T = TypeVar("T")

#: Where the spool's are: dead first, so that one that comes from there while both are read is not missed.
_STATES = (State.DEAD, State.HELD)

#: Ids that are read in one round trip.
_PAGE = 500

#: A mail's id, and what one may begin with.
_WHOLE, _BEGINNING = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{1,32}")


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail that was given up or is held, or cargo that is none.

    Attributes:
        id: the mail's id; for what is no mail, an id of its own.
        state: "dead", "held" or "broken".
        reason: why it is here.
        died_at: when it came here, seconds since the epoch; 0 = nobody knows.
        carrier: "spool", or "task" for one in the broker's dead queue.
        mailer: what it was to be delivered with; None where that cannot be read, as the rest of it.
        group: its group.
        attempts: charged attempts.
        in_doubt: a second copy may exist.
        outcomes: recipient -> last outcome.
    """

    id: str
    state: str
    reason: str
    died_at: float
    carrier: str
    mailer: str | None = None
    group: str | None = None
    attempts: int = 0
    in_doubt: bool = False
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def can_be_read(self) -> bool:
        """Tell whether there is a mail that can be tried again."""
        return self.mailer is not None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`: the ledger, and nothing of the message."""
        shown: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "reason": self.reason,
            "died_at": self.died_at,
            "carrier": self.carrier,
        }
        if self.can_be_read:
            shown |= {
                "mailer": self.mailer,
                "group": self.group,
                "attempts": self.attempts,
                "in_doubt": self.in_doubt,
                "outcomes": {recipient: outcome.to_json() for recipient, outcome in self.outcomes.items()},
            }
        return shown


class GivenUp:
    """The mails of an app that were given up or are held.

    Args:
        app: whose.
        conf: the settings.

    Attributes:
        away: "spool" or "broker" -> a sentence that says why it could not be asked so far.
    """

    def __init__(self, app: Celery, conf: Settings) -> None:
        self.away: dict[str, str] = {}
        self._conf = conf
        self._spool = spools.for_workers(app, conf)
        self._queue = DeadQueue(app, conf.MAILWORKER_NAMESPACE, tools(conf).sealer)
        self._fetched: list[Entry] | None = None

    @property
    def is_reachable(self) -> bool:
        """Tell whether anything could be asked so far."""
        return not {"broker", *(["spool"] if self._spool else [])} <= self.away.keys()

    def first(self, limit: int, mailer: str | None = None, group: str | None = None) -> tuple[list[Letter], int]:
        """Return the oldest of them, and how many there are in all.

        Args:
            limit: how many to return at most.
            mailer: only of this one.
            group: only of this one.
        """

        def matches(letter: Letter) -> bool:
            return mailer in (None, letter.mailer) and group in (None, letter.group)

        in_tasks = [letter for letter in self._in_broker() if matches(letter)]
        found, number = self._asked("spool", lambda: self._first_of_spool(limit, mailer, group)) or ([], 0)
        letters = sorted([*found, *in_tasks], key=lambda letter: letter.died_at)
        return letters[:limit], number + len(in_tasks)

    def all(self) -> list[Letter]:
        """Return all of them as far as `replay` and `purge` need it: the spool's without what stands in the mails."""

        def of_spool() -> list[Letter]:
            return [
                Letter(mail_id, state.value, "", died_at, "spool", mailer="")
                for state in _STATES
                for page in self._pages(state)
                for mail_id, died_at in page
            ]

        return [*(self._asked("spool", of_spool) or []), *self._in_broker()]

    def find(self, beginning: str) -> list[Letter]:
        """Return those whose ids begin so; for a whole id that one alone, of the spool without its time (see `dated`).

        Args:
            beginning: of an id, or all of it.
        """
        beginning = beginning.lower()

        def of_spool() -> list[Letter]:
            if _WHOLE.fullmatch(beginning):
                # No look through the index: somebody may name hundreds.
                whole = self._read(beginning, 0.0)
                return [] if whole is None else [whole]
            found = [self._read(*one) for state in _STATES for one in self._beginning_with(state, beginning)]
            return [letter for letter in found if letter is not None]

        in_spool = self._asked("spool", of_spool) or []
        if [letter.id for letter in in_spool] == [beginning]:
            return in_spool
        in_tasks = self._in_broker()
        whole = [letter for letter in in_tasks if letter.id == beginning]
        return whole[:1] or in_spool + [letter for letter in in_tasks if letter.id.startswith(beginning)]

    def dated(self, letter: Letter) -> Letter:
        """Return a letter with its time, also one that was found by its whole id."""
        if letter.carrier != "spool" or letter.died_at:
            return letter
        found = self._asked("spool", lambda: self._beginning_with(State(letter.state), letter.id)) or []
        return replace(letter, died_at=found[0][1]) if found else letter

    def mail(self, letter: Letter) -> Mail | None:
        """Return the mail of a letter, None if it cannot be read or is gone.

        Raises:
            SpoolUnavailable: the spool is away by now.
        """
        if letter.carrier == "spool":
            return self._spool.get(letter.id) if self._spool is not None else None
        return next((entry.mail for entry in self._fetched or () if entry.id == letter.id), None)

    def message_of_row(self, mail: Mail) -> EmailMessage | None:
        """Return the message of a row of a bulk, None if it makes none.

        Raises:
            SpoolUnavailable: the spool is away by now.
        """
        from mailworker.queue.letters import message_of_row

        return None if self._spool is None else message_of_row(self._conf, self._spool, mail)

    def replay(self, letters: Sequence[Letter]) -> Iterator[tuple[Letter, bool]]:
        """Try them again, for those recipients that were not accepted, and yield each with whether that was done.

        Raises:
            SpoolUnavailable, EnqueueError: the spool or the broker is away by now; what was yielded is done.
        """
        return self._each(letters, lambda spool, letter: spool.replay(letter.id), self._queue.replay)

    def purge(self, letters: Sequence[Letter]) -> Iterator[tuple[Letter, bool]]:
        """Throw them away, and yield each with whether that was done. A held mail of the spool is known as cancelled then.

        Raises:
            SpoolUnavailable, EnqueueError: the spool or the broker is away by now; what was yielded is done.
        """

        def purge(spool: RedisSpool, letter: Letter) -> bool:
            return (spool.cancel if letter.state == State.HELD else spool.purge)(letter.id)

        return self._each(letters, purge, self._queue.purge)

    def _each(
        self,
        letters: Sequence[Letter],
        in_spool: Callable[[RedisSpool, Letter], bool],
        in_broker: Callable[[set[str]], list[str]],
    ) -> Iterator[tuple[Letter, bool]]:
        """Do something to letters, to each of the spool's by itself and to those of the broker at once."""
        for letter in letters:
            if letter.carrier == "spool" and self._spool is not None:
                yield letter, in_spool(self._spool, letter)
        in_tasks = [letter for letter in letters if letter.carrier == "task"]
        if in_tasks:
            done = set(in_broker({letter.id for letter in in_tasks}))
            for letter in in_tasks:
                yield letter, letter.id in done

    def _first_of_spool(self, limit: int, mailer: str | None, group: str | None) -> tuple[list[Letter], int]:
        spool = self._spool
        if spool is None:
            return [], 0
        if group is not None:
            counts: Mapping[Any, int] = spool.status_of_group(group)
            number = sum(counts.get(state, 0) for state in _STATES)
        else:
            counts = spool.stats().counts
            number = sum(count for (of, _, state), count in counts.items() if state in _STATES and mailer in (None, of))
        if not number:
            return [], 0
        if group is not None and mailer is not None:
            # The spool counts either, and not both together.
            found = [letter for state in _STATES for letter in self._of_spool(state, mailer, group)]
            return found, len(found)
        return [
            letter for state in _STATES for letter in islice(self._of_spool(state, mailer, group), min(limit, number))
        ], number

    def _of_spool(self, state: State, mailer: str | None, group: str | None) -> Iterator[Letter]:
        """Yield those of the spool in one state, as long as anybody wants more."""
        assert self._spool is not None
        for page in self._pages(state):
            died_at = dict(page)
            for status in self._spool.statuses(died_at):
                if mailer in (None, status.mailer) and group in (None, status.group):
                    yield _letter(status, died_at[status.id])

    def _pages(self, state: State) -> Iterator[list[tuple[str, float]]]:
        """Yield ids of the spool and times, oldest first, some hundred at a time."""
        assert self._spool is not None
        start = 0
        while page := self._spool.since(state, start, start + _PAGE):
            yield page
            start += len(page)

    def _beginning_with(self, state: State, beginning: str) -> list[tuple[str, float]]:
        if self._spool is None or not _BEGINNING.fullmatch(beginning):
            return []
        return self._spool.beginning_with(state, beginning)

    def _read(self, mail_id: str, died_at: float) -> Letter | None:
        status = self._spool.status(mail_id) if self._spool is not None else None
        return _letter(status, died_at) if status is not None and status.state in _STATES else None

    def _in_broker(self) -> list[Letter]:
        if self._fetched is None:
            self._fetched = self._asked("broker", self._queue.entries) or []
        return [_from_entry(entry) for entry in self._fetched]

    def _asked(self, place: str, ask: Callable[[], T]) -> T | None:
        """Return what one side answers; None if it is away, or there is none."""
        if place == "spool" and self._spool is None:
            return None
        try:
            return ask()
        except SpoolUnavailable as error:
            self.away[place] = f"the spool cannot be reached ({error}); check MAILWORKER_SPOOL_URL, or the broker's URL"
        except EnqueueError as error:
            self.away[place] = str(error)
        return None


def waiting_in_broker(app: Celery, namespace: str, timeout: float) -> dict[str, int]:
    """Return how many tasks wait in the broker's queues: lane -> number, and "dead" for dead cargo.

    Args:
        app: whose broker.
        namespace: names the queues.
        timeout: seconds that it may take.

    Raises:
        EnqueueError: the broker cannot be asked.
    """
    queues = {lane.value: lanes.lane_queue(app, namespace, lane) for lane in LANES}
    queues["dead"] = lanes.declared(lanes.dead_queue_name(namespace))
    with reached(app, timeout) as connection:
        channel = connection.default_channel
        return {name: queue(channel).queue_declare().message_count for name, queue in queues.items()}


def _letter(status: MailStatus, died_at: float) -> Letter:
    return Letter(
        status.id,
        status.state.value,
        status.reason,
        died_at,
        "spool",
        mailer=status.mailer,
        group=status.group,
        attempts=status.attempts,
        in_doubt=status.in_doubt,
        outcomes=status.outcomes,
    )


def _from_entry(entry: Entry) -> Letter:
    mail = entry.mail
    if mail is None:
        return Letter(entry.id, entry.state, entry.reason, entry.died_at, "task")
    ledger = mail.ledger
    return Letter(
        entry.id,
        entry.state,
        entry.reason,
        entry.died_at,
        "task",
        mailer=mail.mailer,
        group=mail.group,
        attempts=ledger.attempts,
        in_doubt=ledger.in_doubt,
        outcomes=ledger.outcomes,
    )
