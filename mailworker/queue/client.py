"""What a program asks of the queue: take these messages, what became of that mail, take it back, try it again.

Mails are known by id only where something keeps them: the spool, or in eager mode this process. In the task carrier a
mail exists in a Celery task and nowhere else, so that asking for one is a `ConfigurationError`; its dead letters are in
the dead queue, and `replay` reaches them there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Unpack, cast

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.mail.options import AskedOptions, QueueOptions
from mailworker.queue import app as apps
from mailworker.queue import producer
from mailworker.spool.base import Spool
from mailworker.spool.record import MailStatus

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage

#: A mail's id: 32 lower-case hexadecimal digits.
MailId = str


def enqueue(
    messages: EmailMessage | Iterable[EmailMessage],
    *,
    using: str | None = None,
    fail_silently: bool = False,
    **options: Unpack[AskedOptions],
) -> list[MailId]:
    """Queue one message, or any number of them, and return the ids of their mails.

    Args:
        messages: one message or an iterable, which is consumed as it is queued; those without recipients are passed
            over and have no id.
        using: alias of the mailer; one whose backend is the queue says itself what the worker delivers with, any other
            is what the worker delivers with. None = the default mailer.
        fail_silently: a queue that does not take them is logged; a delivery that fails for good ends as dropped.
        **options: when and how they travel, see `mailworker.mail.options.QueueOptions`; `key=` and `group=` need the
            spool.

    Raises:
        BadHeaderError, InvalidAddress: a header or an address of a message is not allowed.
        UnserializableMessage, MessageTooLarge: a message cannot be carried.
        ConfigurationError: an option needs a setting that is not there, or no mailer has that alias.
        EnqueueError: the queue did not take them all; it tells which it has.
        DeliveryFailed: in eager mode, the relay did not take them.
    """
    asked = QueueOptions(**options)
    # By what it can do, not by its class: Django's messages are as welcome as ours.
    many = cast("Iterable[EmailMessage]", [messages] if hasattr(messages, "recipients") else messages)
    if asked.key is not None:
        many = list(many)
        if len(many) > 1:
            raise ValueError(
                f"key={asked.key!r} is given for {len(many)} messages: one key is one mail, queue them one by one"
            )
    return producer.enqueue(many, options=asked, mailer=_delivery_mailer(using), fail_silently=fail_silently)


def status(mail_id: MailId) -> MailStatus | None:
    """Return what became of a mail so far, None if it is not known (any more).

    Raises:
        ConfigurationError: nothing here knows mails by id.
    """
    return _eager_spool("status").status(mail_id)


def cancel(mail_id: MailId) -> bool:
    """Take back a mail that has not gone yet; False if it has, or is not known.

    Raises:
        ConfigurationError: nothing here knows mails by id.
    """
    return _eager_spool("cancel").cancel(mail_id)


def replay(mail_id: MailId) -> bool:
    """Try a dead or held mail again, for those of its recipients that were not accepted; False if there is none.

    Raises:
        EnqueueError: the broker cannot be reached.
    """
    if _is_eager():
        return _eager_spool("replay").replay(mail_id)
    from mailworker.mail.sealing import Sealer
    from mailworker.queue.dead import DeadQueue

    conf = settings.current()
    sealer = Sealer([key.get_secret_value() for key in conf.MAILWORKER_ENCRYPTION_KEYS])
    return bool(DeadQueue(apps.current(), conf.MAILWORKER_NAMESPACE, sealer).replay({mail_id}))


def _delivery_mailer(using: str | None) -> str:
    mailer = settings.current().mailer(using or "default")
    # `enqueue` queues whatever the default mailer is; only a name that was given says what to deliver with.
    return mailer.delivers_with if mailer.is_queue or using is not None else "relay"


def _is_eager() -> bool:
    return bool(settings.current().MAILWORKER_TASK_ALWAYS_EAGER or apps.current().conf.task_always_eager)


def _eager_spool(what: str) -> Spool:
    if not _is_eager():
        raise ConfigurationError(
            f"{what}() needs the spool, and mail travels in Celery tasks here, which know no mail by its id: look at "
            "the worker's log for it, and at `mailworker dead list` for what was given up"
        )
    from mailworker.queue import eager

    return eager.spool()
