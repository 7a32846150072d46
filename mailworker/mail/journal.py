"""What a backend tells of each message from inside a batch, so that a ledger can be kept beside the wire.

`delivery` implements it on the spool; a backend only knows these three calls, in this order, once for each message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage


class Journal(Protocol):
    """The ledger's ear in a batch."""

    def beginning(self, message: EmailMessage) -> bool:
        """Allow work on the message to begin, or not: asked right before it is rendered.

        Returns:
            False if the message has to wait (the worker is stopping, or the mail is no longer ours): the backend
            leaves it untouched, with `message.outcomes` empty, and goes on to the next one.
        """

    def committing(self, message: EmailMessage) -> bool:
        """Allow the final dot, or not.

        Returns:
            False if the mail is no longer ours: the backend closes the session without the dot and leaves
            `message.outcomes` empty.
        """

    def settled(self, message: EmailMessage) -> None:
        """Hear that `message.outcomes` says what became of every recipient."""
