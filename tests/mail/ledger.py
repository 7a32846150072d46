"""A journal that holds a batch to its order, and what the tests of a batch share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from mailworker.mail.backends.smtp import EmailBackend
from mailworker.mail.message import EmailMessage
from mailworker.outcome import OutcomeClass

ACCEPTED, DEFERRED, REJECTED, IN_DOUBT = (
    OutcomeClass.ACCEPTED,
    OutcomeClass.DEFERRED,
    OutcomeClass.REJECTED,
    OutcomeClass.IN_DOUBT,
)

#: The commands of a message to one recipient.
OPENING = ["MAIL", "RCPT", "DATA"]


class Ledger:
    """A journal that holds a batch to the order of `mailworker.mail.journal`, and writes it down.

    Args:
        server: whose dots are counted beside each call.
        begin: tells of a subject whether it may begin; also for `may_begin` unless that is given.
        follow: the same for `may_begin`.
        commit: the same for the final dot.

    Attributes:
        heard: calls with the subject and the number of dots that the server had seen.
        charged: subject -> attempts.
        settled_: subject -> the kinds of its outcomes.
    """

    def __init__(
        self,
        server: Any,
        *,
        begin: Callable[[str], bool] = lambda _: True,
        follow: Callable[[str], bool] | None = None,
        commit: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._server = server
        self._begin = begin
        self._follow = follow or begin
        self._commit = commit
        self._current: str | None = None
        self._promised: set[str] = set()
        self.heard: list[tuple[str, str, int]] = []
        self.charged: Counter[str] = Counter()
        self.settled_: dict[str, set[OutcomeClass]] = {}

    def beginning(self, message: Any) -> bool:
        self._note("beginning", message)
        assert not message.outcomes
        if not self._begin(message.subject):
            return False
        self._charge(message)
        return True

    def may_begin(self, message: Any) -> bool:
        self._note("may_begin", message)
        assert self._current != message.subject, "it is asked before it has begun"
        may = self._follow(message.subject)
        # The last word counts.
        (self._promised.add if may else self._promised.discard)(message.subject)
        return may

    def committing(self, message: Any) -> bool:
        self._note("committing", message)
        assert self._current == message.subject, "it has begun, and nothing else has since"
        return self._commit(message.subject)

    def meanwhile(self) -> None:
        """Do nothing: what it is for is other than the order."""

    def settled(self, message: Any, following: Any = None) -> None:
        self._note("settled", message)
        assert self._current == message.subject
        assert set(message.outcomes) == set(message.recipients())
        self.settled_[message.subject] = {outcome.kind for outcome in message.outcomes.values()}
        if following is not None:
            assert following.subject in self._promised
            self._note("following", following)
            self._charge(following)

    def _charge(self, message: Any) -> None:
        self._current = message.subject
        self.charged[message.subject] += 1

    def _note(self, call: str, message: Any) -> None:
        self.heard.append((call, message.subject, len(self._server.complete)))

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(call, subject) for call, subject, _ in self.heard]


def message(subject, cls=EmailMessage, recipients=1, body="text"):
    to = [f"{subject}-{n}@example.org" for n in range(recipients)]
    return cls(str(subject), body, f"{subject}@example.com", to)


def batch_of(number):
    return [message(str(n)) for n in range(1, number + 1)]


def send(server, batch, ledger, *, cls=EmailBackend, **options):
    return cls(server.host, server.port, fail_silently=True, **options).send_messages(batch, journal=ledger)


def subjects(server):
    """Return the subjects of the messages whose dot the server has seen, each as often as it has."""
    return [t.sender.partition("@")[0] for t in server.complete]
