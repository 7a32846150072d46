"""What a backend tells of each message from inside a batch, so that a ledger can be kept beside the wire.

`delivery` implements it on the spool; a backend only knows these calls. For each message, in this order: `beginning` (or
`may_begin`, and then the `settled` of the message before, which names it), `committing`, `settled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage


class Journal(Protocol):
    """The ledger's ear in a batch."""

    def beginning(self, message: EmailMessage) -> bool:
        """Allow work on the message to begin, or not: asked right before its transaction.

        Returns:
            False if the message has to wait (the worker is stopping, or the mail is no longer ours): the backend
            leaves it untouched, with `message.outcomes` empty, and goes on to the next one.
        """
        ...

    def may_begin(self, message: EmailMessage) -> bool:
        """Tell whether work on the message will be allowed to begin once the one before it is settled.

        Asked when its envelope can go out behind the final dot of that one, and again when that one has its answer: a
        no then ends the session. Nothing is noted of it yet. Whether the mail is still ours, `committing` says.
        """
        ...

    def committing(self, message: EmailMessage) -> bool:
        """Allow the final dot, or not.

        Returns:
            False if the mail is no longer ours: the backend closes the session without the dot and leaves
            `message.outcomes` empty.
        """
        ...

    def settled(self, message: EmailMessage, following: EmailMessage | None = None) -> None:
        """Hear that `message.outcomes` says what became of every recipient.

        Args:
            message: which one.
            following: one that may begin, and whose transaction begins now: what `beginning` says need not be asked.
        """

    def meanwhile(self) -> None:
        """Hear that the relay works on something: time for what nobody waits for. A backend need not call it; it never raises."""
