"""What a program asks of the queue: take these messages, what became of that mail, take it back, try it again.

Mails are known by id only where something keeps them: the spool, or in eager mode this process. Where mail travels in
Celery tasks it exists there and nowhere else, so that asking for one is a `ConfigurationError`; its dead letters are in
the dead queue, and `replay` reaches them there. No call waits longer than MAILWORKER_ENQUEUE_TIMEOUT, and all are safe to
make from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, Unpack, cast

from mailworker import deadline, settings
from mailworker.errors import ConfigurationError, EnqueueError
from mailworker.mail.options import AskedOptions, asked_options
from mailworker.queue import app as apps
from mailworker.queue import producer, spools
from mailworker.spool.base import Spool, SpoolUnavailable
from mailworker.spool.record import MailStatus, State

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage

T = TypeVar("T")

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
    asked = asked_options("enqueue()", options)
    # By what it can do, not by its class: Django's messages are as welcome as ours.
    many = cast("Iterable[EmailMessage]", [messages] if hasattr(messages, "recipients") else messages)
    if asked.key is not None:
        many = list(many)
        check_key(asked.key, many)
    return producer.enqueue(many, options=asked, mailer=delivery_mailer(using), fail_silently=fail_silently)


def status(mail_id: MailId) -> MailStatus | None:
    """Return what became of a mail so far, None if it is not known (any more).

    Raises:
        ConfigurationError: nothing here knows mails by id.
        EnqueueError: the spool cannot be reached.
    """
    check_id("status()", mail_id)
    return _asked("status()", lambda spool: spool.status(mail_id))


def cancel(mail_id: MailId) -> bool:
    """Take back a mail that has not gone yet; False if it has, is in a worker's hands, or is not known.

    Raises:
        ConfigurationError, EnqueueError: as for `status`.
    """
    check_id("cancel()", mail_id)
    return _asked("cancel()", lambda spool: spool.cancel(mail_id))


def replay(mail_id: MailId) -> bool:
    """Try a dead or held mail again, for those of its recipients that were not accepted; False if there is none.

    Raises:
        EnqueueError: the spool or the broker cannot be reached.
    """
    check_id("replay()", mail_id)
    if has_spool() and _asked("replay()", lambda spool: spool.replay(mail_id)):
        return True
    if is_eager():
        return False
    from mailworker.queue.compose import tools
    from mailworker.queue.dead import DeadQueue

    conf = settings.current()
    return bool(DeadQueue(apps.current(), conf.MAILWORKER_NAMESPACE, tools(conf).sealer).replay({mail_id}))


def status_of_group(group: str) -> Mapping[State, int]:
    """Count the mails of a group by state; empty if it is not known (any more).

    Raises:
        ConfigurationError, EnqueueError: as for `status`.
    """
    return _asked("status_of_group()", lambda spool: spool.status_of_group(group))


def cancel_group(group: str) -> None:
    """Take back what has not gone yet of a group, whatever its size; what is put into it later is cancelled at once.

    Raises:
        ConfigurationError, EnqueueError: as for `status`.
    """
    _asked("cancel_group()", lambda spool: spool.cancel_group(group))


def pause_group(group: str) -> None:
    """Let no more mails of a group go until `resume_group`; it may have none yet.

    Raises:
        ConfigurationError, EnqueueError: as for `status`.
    """
    _asked("pause_group()", lambda spool: spool.pause_group(group))


def resume_group(group: str) -> None:
    """Let the mails of a paused group go on, and new ones into a cancelled one.

    Raises:
        ConfigurationError, EnqueueError: as for `status`.
    """
    _asked("resume_group()", lambda spool: spool.resume_group(group))


def pause(mailer: str, reason: str = "") -> None:
    """Let no more mails of a mailer go, in no worker, until `resume`.

    Args:
        mailer: its alias; of one that is a queue, the mailer that it delivers with is paused.
        reason: what people shall read beside it.

    Raises:
        ConfigurationError: no mailer has that alias, or nothing here keeps mails.
        EnqueueError: the spool cannot be reached.
    """
    gated = settings.current().mailer(mailer).delivers_with
    _asked("pause()", lambda spool: spool.pause(gated, reason))


def resume(mailer: str) -> None:
    """Let the mails of a mailer go on, whoever paused it: a person, or a trouble with its relay.

    Raises:
        ConfigurationError, EnqueueError: as for `pause`.
    """
    gated = settings.current().mailer(mailer).delivers_with
    _asked("resume()", lambda spool: spool.resume(gated))


def is_eager() -> bool:
    """Tell whether mail is delivered in this process, without a broker."""
    return apps.is_eager(apps.current(), settings.current())


def has_spool() -> bool:
    """Tell whether something here knows mails by their ids."""
    return is_eager() or spools.url(apps.current(), settings.current()) is not None


def check_key(key: str, messages: Sequence[object]) -> None:
    """Make sure that a key is given for one message.

    Raises:
        ValueError: it is not.
    """
    if len(messages) > 1:
        raise ValueError(
            f"key={key!r} is given for {len(messages)} messages: one key is one mail, queue them one by one"
        )


def delivery_mailer(using: str | None) -> str:
    """Return the alias of the mailer that a worker delivers with.

    Raises:
        ConfigurationError: no mailer has that alias.
    """
    mailer = settings.current().mailer(using or "default")
    # `enqueue` queues whatever the default mailer is; only a name that was given says what to deliver with.
    return mailer.delivers_with if mailer.is_queue or using is not None else "relay"


def check_id(what: str, mail_id: object) -> None:
    """Make sure that something may be a mail's id.

    Raises:
        TypeError: it is of another type.
    """
    if not isinstance(mail_id, str):
        raise TypeError(
            f"{what} got {mail_id!r}: expected a mail's id, as enqueue() returns it or message.mail_id has it"
        )


def _asked(what: str, ask: Callable[[Spool], T]) -> T:
    if is_eager():
        from mailworker.queue import eager

        return ask(eager.spool())
    conf = settings.current()
    spool = spools.for_producers(apps.current(), conf)
    if spool is None:
        raise ConfigurationError(
            f"{what} needs the spool, and mail travels in Celery tasks here, which know no mail by its id: set "
            "MAILWORKER_SPOOL_URL to a Redis; or look at the worker's log for it, and at `mailworker dead list` for what "
            "was given up"
        )
    try:
        with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
            return ask(spool)
    except SpoolUnavailable as error:
        raise cannot_be_asked(error) from None


def cannot_be_asked(error: SpoolUnavailable) -> EnqueueError:
    """Return what a caller is told of a spool that does not answer."""
    return EnqueueError(
        f"the spool cannot be asked ({error}): check that its Redis runs and that MAILWORKER_SPOOL_URL (or the broker's "
        "URL) is right, or run `mailworker check`"
    )
