"""mailworker in a FastAPI application: a mailer as a dependency, and the lifespan.

The dependency is there to be replaced: ``app.dependency_overrides[mailer]`` gives a test, or another tenant, a mailer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Unpack

from fastapi import Depends

from mailworker.contrib.starlette import lifespan
from mailworker.mail.asend import asend_mail
from mailworker.mail.message import EmailMessage
from mailworker.mail.options import AskedOptions

if TYPE_CHECKING:
    from mailworker.queue.client import MailId
    from mailworker.spool.record import MailStatus


@dataclass(frozen=True)
class Mailer:
    """Sends mail with one of the configured mailers.

    Attributes:
        using: its alias; None = the default one.
    """

    using: str | None = None

    async def send_mail(
        self,
        subject: str,
        message: str,
        recipient_list: Iterable[str],
        *,
        from_email: str | None = None,
        html_message: str | None = None,
        **options: Unpack[AskedOptions],
    ) -> int:
        """Send one message; see `mailworker.send_mail`."""
        return await asend_mail(
            subject, message, from_email, recipient_list, html_message=html_message, using=self.using, **options
        )

    async def send(self, message: EmailMessage, **options: Unpack[AskedOptions]) -> int:
        """Send a message that was composed; see `mailworker.EmailMessage.send`."""
        return await message.asend(using=self.using, **options)

    async def enqueue(
        self, messages: EmailMessage | Iterable[EmailMessage], **options: Unpack[AskedOptions]
    ) -> list[MailId]:
        """Queue one message or many, and return the ids of their mails; see `mailworker.enqueue`."""
        from mailworker.queue.aclient import aenqueue

        return await aenqueue(messages, using=self.using, **options)

    async def status(self, mail_id: MailId) -> MailStatus | None:
        """Return what became of a mail; see `mailworker.status`."""
        from mailworker.queue.aclient import astatus

        return await astatus(mail_id)


def mailer() -> Mailer:
    """Return the default mailer: the dependency."""
    return Mailer()


def mailer_named(alias: str) -> Any:
    """Return the dependency on a mailer of `MAILERS`.

    Args:
        alias: which one.
    """

    def named() -> Mailer:
        return Mailer(alias)

    return Depends(named)


#: The default mailer, as a path operation asks for it: ``async def sign_up(mailer: MailerDep)``.
MailerDep = Annotated[Mailer, Depends(mailer)]

__all__ = ["Mailer", "MailerDep", "lifespan", "mailer", "mailer_named"]
