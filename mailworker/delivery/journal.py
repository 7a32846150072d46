"""The journal of one batch: what the backend tells of each message, written into the spool at once.

It knows of a message whether its work was allowed to begin, whether its final dot was refused, whether it is recorded, and
so which ones are left. What each step means is decided by the functions that it is given; they must not raise, since the
backend that would let it pass is in the middle of a session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mailworker.delivery.attempt import Attempt
from mailworker.outcome import Outcome, OutcomeClass


class BatchJournal:
    """Implements `mailworker.mail.journal.Journal` on a batch of attempts.

    Args:
        batch: the attempts.
        begin: charges an attempt; False if it must not be sent now.
        may_follow: tells whether an attempt may be charged once the one before it is recorded.
        commit: allows the final dot of an attempt that began; False if the mail may no longer be ours.
        record: writes down the outcomes that stand on the attempt's message, and charges the attempt that follows, if any.
        tell: tells of what has been written down.
    """

    def __init__(
        self,
        batch: Sequence[Attempt],
        *,
        begin: Callable[[Attempt], bool],
        may_follow: Callable[[Attempt], bool],
        commit: Callable[[Attempt], bool],
        record: Callable[[Attempt, Attempt | None], None],
        tell: Callable[[], None],
    ) -> None:
        self._batch = batch
        self._begin = begin
        self._may_follow = may_follow
        self._commit = commit
        self._record = record
        self._tell = tell
        self._of = {id(one.message): one for one in batch}
        self._allowed: dict[int, bool] = {}
        self._withdrawn: set[int] = set()
        self._recorded: set[int] = set()
        #: True once the relay has answered in a transaction, or a backend has got rid of a message: then the mailer works.
        self.reached_relay = False

    def beginning(self, message: object) -> bool:
        """Charge the attempt; a message that is begun twice (a new session after 421) is charged once."""
        key = id(message)
        if key not in self._allowed:
            self._allowed[key] = self._begin(self._of[key])
        return self._allowed[key]

    def may_begin(self, message: object) -> bool:
        """Tell whether the attempt may be charged once the message before it is settled; a no stays."""
        key = id(message)
        if key not in self._allowed and not self._may_follow(self._of[key]):
            self._allowed[key] = False
        return self._allowed.get(key, True)

    def committing(self, message: object) -> bool:
        """Allow the dot; a message that was refused it once must not be sent in this batch any more."""
        key = id(message)
        if not self._allowed.get(key, False) or key in self._withdrawn:
            return False
        if not self._commit(self._of[key]):
            self._withdrawn.add(key)
            return False
        return True

    def settled(self, message: object, following: object = None) -> None:
        """Record the message's outcomes, once, and charge the attempt at the one that follows."""
        key = id(message)
        one = self._of[key]
        if key in self._recorded or not one.message.outcomes:
            return
        if following is not None:
            self._allowed[id(following)] = True
        self._recorded.add(key)
        outcomes = one.message.outcomes.values()
        # Foreign backends, and ours that have no relay, say no more than that they took it.
        self.reached_relay = self.reached_relay or any(o.reply or o.kind is OutcomeClass.ACCEPTED for o in outcomes)
        self._record(one, None if following is None else self._of[id(following)])

    def meanwhile(self) -> None:
        """Tell of what has been written down."""
        self._tell()

    def settle(self, message: object, outcomes: Mapping[str, Outcome]) -> None:
        """Give a message its outcomes from outside, and record them."""
        self._of[id(message)].message.outcomes = dict(outcomes)
        self.settled(message)

    def unsettled(self) -> list[Attempt]:
        """Return the attempts that are not recorded, in order."""
        return [one for one in self._batch if id(one.message) not in self._recorded]

    def was_refused(self, one: Attempt) -> bool:
        """Tell whether the message was told to wait, at its beginning or before its dot."""
        return self._allowed.get(id(one.message)) is False or id(one.message) in self._withdrawn

    def was_begun(self, one: Attempt) -> bool:
        """Tell whether the message's attempt is charged, and its dot was not refused."""
        return self._allowed.get(id(one.message), False) and id(one.message) not in self._withdrawn
