"""What a backend is: it takes messages and gets rid of them.

Beyond Django's contract a backend of ours may say that it reports outcomes, and then keeps the journal of its batch, or
that it takes queue options. Neither is asked of anybody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar, Self


class BaseEmailBackend:
    """Base of all backends.

    Args:
        fail_silently: raise nothing for what goes wrong while sending.
        alias: of the mailer that it was built for; None if it was not.
        kwargs: ignored, as Django's base class does.
    """

    #: `send_messages` takes `journal=` and leaves `message.outcomes` on each message.
    reports_outcomes: ClassVar[bool] = False
    #: `send_messages` takes `options=`, a `QueueOptions`.
    accepts_options: ClassVar[bool] = False
    #: Its option `token` is a login, which a `password` that is given beside it takes the place of.
    takes_token: ClassVar[bool] = False

    def __init__(self, fail_silently: bool = False, *, alias: str | None = None, **kwargs: Any) -> None:
        self.fail_silently = fail_silently
        self.alias = alias

    def open(self) -> bool | None:
        """Open a connection, if the backend has any.

        Returns:
            True if it was opened by this call, False if it was open already, None if there is nothing to open.
        """
        return None

    def close(self) -> None:
        """Close what `open` opened."""

    def __enter__(self) -> Self:
        try:
            self.open()
        except Exception:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send_messages(self, email_messages: Sequence[Any]) -> int | None:
        """Send messages and return how many were taken."""
        raise NotImplementedError(f"{type(self).__qualname__} is a backend without send_messages(): write one")
