"""The functions that compose and send in one call, for event loops: the awaitable twins of `send`.

Arguments, results and errors are those of the twins. The queue is spoken to without holding the loop up; any other backend sends in
a thread, with the caller's context variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from typing import Any, Unpack

from mailworker import settings
from mailworker.loop import in_thread
from mailworker.mail import connection as connections
from mailworker.mail.options import AskedOptions, asked_options
from mailworker.mail.send import connection_of, message_of, message_to, messages_of

#: Messages that are checked in the loop's thread: a millisecond's work.
_FEW = 20


async def asend_mail(
    subject: Any,
    message: Any,
    from_email: Any,
    recipient_list: Iterable[Any],
    fail_silently: bool = False,
    auth_user: str | None = None,
    auth_password: str | None = None,
    connection: Any = None,
    html_message: str | None = None,
    *,
    using: str | None = None,
    **options: Unpack[AskedOptions],
) -> int:
    """Send one message; all recipients see each other in the To header. See `mailworker.send_mail`."""
    asked_options("asend_mail()", options)  # what is wrong with them is told before a backend is built
    mail = message_of(subject, message, from_email, recipient_list, html_message)
    mail.connection = connection_of(connection, using, fail_silently, auth_user, auth_password)
    return await mail.asend(fail_silently, **options)


async def asend_mass_mail(
    datatuple: Iterable[Sequence[Any]],
    fail_silently: bool = False,
    auth_user: str | None = None,
    auth_password: str | None = None,
    connection: Any = None,
    *,
    using: str | None = None,
    **options: Unpack[AskedOptions],
) -> int:
    """Send many messages over one connection; a long list is read in a thread. See `mailworker.send_mass_mail`."""
    asked = asked_options("asend_mass_mail()", options)
    if isinstance(datatuple, Sized) and len(datatuple) <= _FEW:
        rows = messages_of(datatuple, asked)
    else:
        rows = await in_thread(messages_of, datatuple, asked)
    backend = connection_of(connection, using, fail_silently, auth_user, auth_password)
    for row in rows:
        row.connection = backend
    return await connections.ahand_over(backend, rows, asked)


async def amail_admins(
    subject: Any,
    message: Any,
    fail_silently: bool = False,
    connection: Any = None,
    html_message: str | None = None,
    *,
    using: str | None = None,
    **options: Unpack[AskedOptions],
) -> None:
    """Send a message from `SERVER_EMAIL` to all of `ADMINS`. See `mailworker.mail_admins`."""
    asked_options("amail_admins()", options)
    mail = message_to(settings.current().ADMINS, subject, message, html_message, connection, using, fail_silently)
    if mail is not None:
        await mail.asend(fail_silently, **options)


async def amail_managers(
    subject: Any,
    message: Any,
    fail_silently: bool = False,
    connection: Any = None,
    html_message: str | None = None,
    *,
    using: str | None = None,
    **options: Unpack[AskedOptions],
) -> None:
    """Send a message from `SERVER_EMAIL` to all of `MANAGERS`. See `mailworker.mail_managers`."""
    asked_options("amail_managers()", options)
    mail = message_to(settings.current().MANAGERS, subject, message, html_message, connection, using, fail_silently)
    if mail is not None:
        await mail.asend(fail_silently, **options)
