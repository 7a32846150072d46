"""What a chaos run came to: every accepted mail accounted for, every promise looked at. Pure.

Lost is a mail that was accepted and that the spool neither has in hand nor ended as it says: sent without a copy for each
recipient counts as lost too. A second copy of a mail is one event's fault, however many recipients it has.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mailworker.spool.record import MailStatus, State
from tests.chaos.message import recipients

#: How many that are wrong are named.
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Account:
    """The figures.

    Attributes:
        mails: how many were to be enqueued.
        accepted: how many the queue accepted.
        states: how many of them ended in which state.
        lost: how many nobody knows the end of.
        second_copies: copies beyond the first, of all mails.
        flagged: mails that arrived more than once and are flagged in doubt.
        doubts: mails that are flagged, arrived once or more often.
        ambiguous: events that may each have caused one second copy.
        broken: the promises that do not hold, each with some of the mails that show it.
    """

    mails: int
    accepted: int
    states: Mapping[State, int]
    lost: int
    second_copies: int
    flagged: int
    doubts: int
    ambiguous: int
    broken: Sequence[str] = field(default=())


@dataclass(frozen=True)
class _Mail:
    """One mail: what the spool says of it, and what came of it.

    Attributes:
        status: None if the spool does not know it.
        copies: recipient -> Message-IDs of the copies that came.
    """

    status: MailStatus | None
    copies: Mapping[str, Sequence[str]]

    @property
    def is_in_doubt(self) -> bool:
        return self.status is not None and self.status.in_doubt

    @property
    def second_copies(self) -> int:
        return max(0, max(map(len, self.copies.values())) - 1)

    def loss(self) -> str:
        """Say why the mail is lost, if it is."""
        if self.status is None:
            return "accepted, and the spool does not know it"
        if self.status.state is State.SENT:
            return "" if all(self.copies.values()) else "sent, and a recipient has no copy"
        return "" if self.status.state is State.DEAD else f"still {self.status.state.value} at the end"

    def faults(self) -> Iterator[str]:
        """Say what else is wrong with it."""
        status = self.status
        if status is not None and status.state is State.DEAD and not status.in_doubt and "lost" not in status.reason:
            yield f"dead without a doubt: {status.reason}"
        if self.second_copies and not self.is_in_doubt:
            yield "arrived twice, and is not flagged"
        if len({message_id for each in self.copies.values() for message_id in each}) > 1:
            yield "arrived under two Message-IDs"


def account(
    mails: int,
    accepted: Mapping[int, str],
    statuses: Mapping[str, MailStatus],
    copies: Mapping[str, Sequence[str]],
    ambiguous: int,
) -> Account:
    """Account for every mail of a run.

    Args:
        mails: how many were to be enqueued, numbered from 0.
        accepted: number -> id of those that the queue accepted.
        statuses: id -> what the spool says became of it.
        copies: recipient -> Message-IDs of the copies that came.
        ambiguous: events that may each have caused one second copy.
    """
    found = {
        number: _Mail(statuses.get(mail_id), {each: copies.get(each, ()) for each in recipients(number)})
        for number, mail_id in accepted.items()
    }
    wrong: defaultdict[str, list[int]] = defaultdict(list)
    wrong["never accepted"] += [number for number in range(mails) if number not in accepted]
    lost = 0
    for number, mail in found.items():
        loss = mail.loss()
        lost += bool(loss)
        for what in filter(None, [loss, *mail.faults()]):
            wrong[what].append(number)
    broken = [f"{what}: {len(numbers)} mails, {numbers[:_NAMED]}" for what, numbers in wrong.items() if numbers]
    if len(set(accepted.values())) != len(accepted):
        broken.append("one id for two mails")
    strangers = copies.keys() - {recipient for number in range(mails) for recipient in recipients(number)}
    if strangers:
        broken.append(f"somebody got mail that nobody sent: {sorted(strangers)[:_NAMED]}")
    second_copies = sum(mail.second_copies for mail in found.values())
    if second_copies > ambiguous:
        broken.append(f"{second_copies} second copies, and only {ambiguous} events that may have caused one")
    return Account(
        mails=mails,
        accepted=len(accepted),
        states=Counter(mail.status.state for mail in found.values() if mail.status is not None),
        lost=lost,
        second_copies=second_copies,
        flagged=sum(mail.is_in_doubt for mail in found.values() if mail.second_copies),
        doubts=sum(mail.is_in_doubt for mail in found.values()),
        ambiguous=ambiguous,
        broken=broken,
    )
