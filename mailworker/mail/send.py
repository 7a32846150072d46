"""The functions that compose and send in one call: `send_mail` and its kin, with Django 5.2's signatures.

Queue options are keyword-only. They decide nothing about delivery: the connection does. `asend` has their awaitable twins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Unpack

from mailworker import settings
from mailworker.mail import connection as connections
from mailworker.mail.check import check_headers
from mailworker.mail.message import EmailMessage, EmailMultiAlternatives
from mailworker.mail.options import AskedOptions, QueueOptions, asked_options
from mailworker.settings import Contact


def send_mail(
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
    """Send one message; all recipients see each other in the To header.

    Args:
        subject: the subject line.
        message: the plain text.
        from_email: sender; None = `DEFAULT_FROM_EMAIL`.
        recipient_list: a list or tuple of addresses.
        fail_silently: raise nothing for what goes wrong with sending.
        auth_user: login at the relay; None = the mailer's.
        auth_password: the same.
        connection: the backend to send with, at once.
        html_message: the same text as HTML.
        using: alias of the mailer; None = "default".
        **options: when and how the queue sends it, see `QueueOptions`.

    Returns:
        1 if the message was taken, 0 if not.

    Raises:
        BadHeaderError: a header could break out of its line; whatever `fail_silently` says.
        TypeError: both `connection` and `using` are given.

    Source: https://docs.djangoproject.com/en/5.2/topics/email/#send-mail
    """
    asked_options("send_mail()", options)  # what is wrong with them is told before a backend is built
    mail = message_of(subject, message, from_email, recipient_list, html_message)
    mail.connection = connection_of(connection, using, fail_silently, auth_user, auth_password)
    return mail.send(fail_silently, **options)


def send_mass_mail(
    datatuple: Iterable[Sequence[Any]],
    fail_silently: bool = False,
    auth_user: str | None = None,
    auth_password: str | None = None,
    connection: Any = None,
    *,
    using: str | None = None,
    **options: Unpack[AskedOptions],
) -> int:
    """Send many messages over one connection.

    Args:
        datatuple: (subject, message, from_email, recipient_list) for each message.
        fail_silently: as in `send_mail`, as for all that follow.
        auth_user: the same.
        auth_password: the same.
        connection: the same.
        using: the same.
        **options: the same; `key=` names one mail, so there may be one message only.

    Returns:
        How many were taken.

    Raises:
        BadHeaderError: a header of one message could break out of its line; then none is sent.
        TypeError: both `connection` and `using` are given.
        ValueError: `key` is given with several messages.

    Source: https://docs.djangoproject.com/en/5.2/topics/email/#send-mass-mail
    """
    asked = asked_options("send_mass_mail()", options)
    rows = messages_of(datatuple, asked)
    backend = connection_of(connection, using, fail_silently, auth_user, auth_password)
    for row in rows:
        row.connection = backend
    return connections.hand_over(backend, rows, asked)


def mail_admins(
    subject: Any,
    message: Any,
    fail_silently: bool = False,
    connection: Any = None,
    html_message: str | None = None,
    *,
    using: str | None = None,
    **options: Unpack[AskedOptions],
) -> None:
    """Send a message from `SERVER_EMAIL` to all of `ADMINS`; nothing happens if there are none.

    Args:
        subject: `EMAIL_SUBJECT_PREFIX` is put before it.
        message: the plain text.
        fail_silently: as in `send_mail`, as for all that follow.
        connection: the same.
        html_message: the same.
        using: the same.
        **options: the same.

    Raises:
        BadHeaderError: as `send_mail`.
        TypeError: both `connection` and `using` are given.

    Source: https://docs.djangoproject.com/en/5.2/topics/email/#mail-admins
    """
    asked_options("mail_admins()", options)  # what is wrong with them is wrong where nobody gets the mail, too
    mail = message_to(settings.current().ADMINS, subject, message, html_message, connection, using, fail_silently)
    if mail is not None:
        mail.send(fail_silently, **options)


def mail_managers(
    subject: Any,
    message: Any,
    fail_silently: bool = False,
    connection: Any = None,
    html_message: str | None = None,
    *,
    using: str | None = None,
    **options: Unpack[AskedOptions],
) -> None:
    """Send a message from `SERVER_EMAIL` to all of `MANAGERS`; otherwise as `mail_admins`."""
    asked_options("mail_managers()", options)
    mail = message_to(settings.current().MANAGERS, subject, message, html_message, connection, using, fail_silently)
    if mail is not None:
        mail.send(fail_silently, **options)


def message_of(
    subject: Any, message: Any, from_email: Any, recipients: Iterable[Any], html_message: str | None
) -> EmailMultiAlternatives:
    """Return the message that `send_mail` sends."""
    mail = EmailMultiAlternatives(subject, message, from_email, recipients)
    if html_message:
        mail.attach_alternative(html_message, "text/html")
    return mail


def messages_of(datatuple: Iterable[Sequence[Any]], asked: QueueOptions) -> list[EmailMessage]:
    """Return the messages that `send_mass_mail` sends.

    Raises:
        BadHeaderError: a header of one message could break out of its line.
        ValueError: a key is asked for with several messages.
    """
    rows = [EmailMessage(subject, body, sender, to) for subject, body, sender, to in datatuple]
    if asked.key is not None and len(rows) > 1:
        raise ValueError(
            f"key={asked.key!r} is given with {len(rows)} messages: one key names one mail, send them one by one"
        )
    for row in rows:
        check_headers(row)
    return rows


def message_to(
    people: Sequence[Contact],
    subject: Any,
    message: Any,
    html_message: str | None,
    connection: Any,
    using: str | None,
    fail_silently: bool,
) -> EmailMultiAlternatives | None:
    """Return the message that `mail_admins` sends to these people, with its connection; None if there are none.

    Raises:
        TypeError: both `connection` and `using` are given.
    """
    conf = settings.current()
    if using is not None and connection:
        raise TypeError(f"using={using!r} and connection= are both given: expected one of them")
    if not people:
        return None
    to = [person.address for person in people]
    mail = message_of(f"{conf.EMAIL_SUBJECT_PREFIX}{subject}", message, conf.SERVER_EMAIL, to, html_message)
    mail.connection = connection_of(connection, using, fail_silently, None, None)
    return mail


def connection_of(
    connection: Any,
    using: str | None,
    fail_silently: bool,
    user: str | None,
    password: str | None,
) -> Any:
    """Return the backend that a call sends with.

    Raises:
        TypeError: both `connection` and `using` are given.
    """
    if connection:
        if using is not None:
            raise TypeError(f"using={using!r} and connection= are both given: expected one of them")
        return connection
    return connections.connection_for(using, fail_silently=fail_silently, auth_user=user, auth_password=password)
