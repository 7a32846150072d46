"""Hand messages over to the queue: checked and encoded here, published in chunks, bounded in time (DESIGN §3, §5).

What is wrong with a message is raised before anything is published: a call is checked in windows of 1000 messages (or
64 MiB), so that a short list goes whole or not at all while a long one needs bounded memory. A broker that does not confirm is an
`EnqueueError` that says which mails it has and which it may have.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from celery import Celery

from mailworker import log, settings
from mailworker.errors import ConfigurationError, EnqueueError, UnserializableMessage
from mailworker.lane import Lane
from mailworker.mail import address
from mailworker.mail.check import check_message
from mailworker.mail.codec import Codec
from mailworker.mail.frozen import is_email
from mailworker.mail.options import QueueOptions
from mailworker.mail.sealing import Sealer
from mailworker.queue import app as apps
from mailworker.queue import deadline
from mailworker.queue.dispatch import MAX_HOP, Dispatch, chunks
from mailworker.queue.publisher import PublishError
from mailworker.settings import Settings
from mailworker.spool.record import Ledger, Mail

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage

logger = log.get(__name__)

#: Messages that are checked and encoded before the first of them is published.
_WINDOW = 1000

#: Payload bytes after which a window is full: a generator of large messages must not fill the memory.
_WINDOW_BYTES = 64 * 2**20

#: Options that only a spool can keep: the task carrier knows a mail only while a worker has it.
_NEED_SPOOL = ("key", "group")


@dataclass(frozen=True, slots=True)
class Composed:
    """A message that is ready to travel, and its mail.

    Until one of its notes is made, the message is as if it had never been handed over.

    Attributes:
        message: the caller's object.
        mail: what travels.
        fixed: the headers that the codec has added for this mail, its Message-ID and its Date.
    """

    message: EmailMessage
    mail: Mail
    fixed: Mapping[str, Any]

    def queued(self) -> None:
        """Note on the message that the queue has it: sent once more, it is another mail."""
        self.message.mail_id = self.mail.id
        self.message._unsure_id = None  # noqa: SLF001 - the queue's own note

    def lost_from_sight(self) -> None:
        """Note on the message that the queue may have it: sent once more, it is the same mail, Message-ID and all."""
        self.message.mail_id = self.mail.id
        self.message._unsure_id = _Unsure(self.mail.id, self.fixed)  # noqa: SLF001 - the queue's own note


class _Unsure(str):
    """The id of a mail that the queue may have, with the headers that make the next try the same mail."""

    __slots__ = ("fixed",)

    fixed: Mapping[str, Any]

    def __new__(cls, mail_id: str, fixed: Mapping[str, Any]) -> Self:
        made = super().__new__(cls, mail_id)
        made.fixed = fixed
        return made


def enqueue(
    messages: Iterable[EmailMessage],
    *,
    options: QueueOptions | None = None,
    mailer: str = "relay",
    fail_silently: bool = False,
    login: tuple[str, str] | None = None,
) -> list[str]:
    """Queue messages.

    Args:
        messages: any number; one without recipients is passed over.
        options: when and how they travel.
        mailer: alias of the mailer that the worker delivers with.
        fail_silently: a queue that does not take them is logged, and their delivery ends as dropped if it fails.
        login: user and password for the relay, for these messages only; needs MAILWORKER_ENCRYPTION_KEYS.

    Returns:
        The ids of the mails that the queue has, in the messages' order.

    Raises:
        BadHeaderError, InvalidAddress: a header or an address of a message is not allowed.
        UnserializableMessage, MessageTooLarge: a message cannot be carried.
        ConfigurationError: an option or a login needs a setting that is not there.
        EnqueueError: the queue did not take them all.
        DeliveryFailed: in eager mode, the relay did not.
    """
    if log.is_logging():
        # Mail about our own log record would be the next record's cause (DESIGN §9).
        return []
    conf = settings.current()
    app = apps.current()
    if conf.MAILWORKER_TASK_ALWAYS_EAGER or app.conf.task_always_eager:
        from mailworker.queue import eager

        # By the eager spool's clock: `run_due(at=...)` may have moved it ahead.
        composer = _Composer(conf, options or QueueOptions(), mailer, fail_silently, login, clock=eager.spool().now)
        ids: list[str] = []
        for window in _windows(messages, composer):
            ids += eager.deliver(window, fail_silently=fail_silently)
        return ids
    composer = _Composer(conf, options or QueueOptions(), mailer, fail_silently, login)
    _refuse_spool_options(composer.options)
    accepted: list[str] = []
    try:
        for window in _windows(messages, composer):
            # A call of up to a window's messages waits no longer than this in all.
            with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
                _publish(app, conf, composer.sealer, window, accepted)
    except EnqueueError as error:
        # A message that is refused after earlier ones of a long call were published is such an error as well.
        error.accepted = tuple(accepted)
        if not fail_silently or type(error) is not EnqueueError:
            raise
        logger.error("%s", error, extra={"accepted": len(error.accepted), "unknown": len(error.unknown)})
    except Exception as error:
        if accepted:
            # A generator of the caller's, or a bad header in it, after whole windows are on their way.
            error.add_note(
                f"{len(accepted)} mails of this call were queued before; a second call would queue them again"
            )
        raise
    return accepted


class _Composer:
    """Makes mails of messages, all with the same options."""

    def __init__(
        self,
        conf: Settings,
        options: QueueOptions,
        mailer: str,
        fail_silently: bool,
        login: tuple[str, str] | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        conf.mailer(mailer)
        apps.check_carrier(conf)
        keys = [key.get_secret_value() for key in conf.MAILWORKER_ENCRYPTION_KEYS]
        if login is not None and not keys:
            raise ConfigurationError(
                "auth_user and auth_password travel through the queue only encrypted: set MAILWORKER_ENCRYPTION_KEYS, "
                "or name a mailer in MAILERS whose login stays with the worker, and send with using="
            )
        self.options = options
        self.sealer = Sealer(keys)
        self._codec = Codec(keys, conf.MAILWORKER_MAX_MESSAGE_SIZE)
        self._mailer = mailer
        self._fail_silently = fail_silently
        self._login = login
        self._clock = clock
        #: Mails of earlier tries that this call has taken up.
        self._again: set[str] = set()

    def compose(self, message: EmailMessage) -> Composed | None:
        """Check and encode a message; None if it has no recipients."""
        if not is_email(message):
            raise UnserializableMessage(
                f"cannot queue an object of type {type(message).__name__}; expected an EmailMessage"
            )
        check_message(message)
        recipients = address.envelope_recipients(message)
        if not recipients:
            return None
        now = self._clock()
        unsure = self._unsure(message)
        payload, fixed = self._encoded(message, {} if unsure is None else unsure.fixed)
        domains = {recipient.rpartition("@")[2].lower() for recipient in recipients}
        mail = Mail(
            id=self._id(unsure),
            payload=payload,
            mailer=self._mailer,
            lane=Lane(self.options.lane or Lane.NORMAL),
            created_at=now,
            due_at=self.options.due_at(now),
            expires_at=self.options.expires_at(now),
            fail_silently=self._fail_silently,
            on_in_doubt="hold" if self.options.on_in_doubt == "hold" else "resend",
            group=self.options.group,
            domain=domains.pop() if len(domains) == 1 else None,
            # A task that carries it may be on its way already, and nothing here could take that one back.
            ledger=Ledger(in_doubt=unsure is not None),
        )
        return Composed(message, mail, fixed)

    def _encoded(self, message: EmailMessage, fixed: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
        """Return the payload and the headers that were added for it; the message's own stay as they are."""
        own = message.extra_headers
        known = {str(name).lower() for name in own}
        message.extra_headers = {**{n: value for n, value in fixed.items() if n.lower() not in known}, **own}
        try:
            payload = self._codec.encode(message, login=self._login)
            return payload, {name: value for name, value in message.extra_headers.items() if name not in own}
        finally:
            message.extra_headers = own

    def _unsure(self, message: EmailMessage) -> _Unsure | None:
        """Return the note on a message whose answer was lost; once a call, or one object would be one mail for two."""
        unsure = getattr(message, "_unsure_id", None)
        if not isinstance(unsure, _Unsure) or unsure in self._again:
            return None
        self._again.add(unsure)
        return unsure

    def _id(self, unsure: str | None) -> str:
        if self.options.key is not None:
            return uuid.uuid5(_KEY_NAMESPACE, self.options.key).hex
        return str(unsure or uuid.uuid4().hex)


#: Names the ids that derive from `key=`; a constant of ours, so that every process derives the same.
_KEY_NAMESPACE = uuid.UUID("6f0d4a3e-5a53-4c1c-9d5f-0d7c1e6b7a11")


def _windows(messages: Iterable[EmailMessage], composer: _Composer) -> Iterator[list[Composed]]:
    window: list[Composed] = []
    size = 0
    for message in messages:
        one = composer.compose(message)
        if one is None:
            continue
        window.append(one)
        size += len(one.mail.payload)
        if len(window) >= _WINDOW or size >= _WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def _publish(app: Celery, conf: Settings, sealer: Sealer, window: Sequence[Composed], accepted: list[str]) -> None:
    dispatch = Dispatch(app, conf.MAILWORKER_NAMESPACE, sealer, conf.MAILWORKER_ENQUEUE_TIMEOUT)
    composed = {one.mail.id: one for one in window}
    now = time.time()
    for chunk in chunks(one.mail for one in window):
        ids = [mail.id for mail in chunk]
        try:
            dispatch.deliver(chunk, countdown=_countdown(chunk, now))
        except PublishError as error:
            for mail_id in ids if error.maybe_published else ():
                composed[mail_id].lost_from_sight()
            # `from None`: a hundred lines of kombu and amqp say less than the reason does.
            raise EnqueueError(
                f"the broker did not take the mail ({error}; MAILWORKER_ENQUEUE_TIMEOUT is "
                f"{conf.MAILWORKER_ENQUEUE_TIMEOUT:g} s): check that it runs and that MAILWORKER_BROKER_URL is right, or "
                "run `mailworker check`",
                accepted=accepted,
                unknown=ids if error.maybe_published else (),
            ) from None
        accepted += ids
        for mail_id in ids:
            composed[mail_id].queued()


def _countdown(chunk: Sequence[Mail], now: float) -> float:
    return min(MAX_HOP, max(0.0, min(mail.due_at for mail in chunk) - now))


def _refuse_spool_options(options: QueueOptions) -> None:
    for name in _NEED_SPOOL:
        if getattr(options, name) is not None:
            raise ConfigurationError(
                f"{name}= needs the spool, and mail travels in Celery tasks here: leave {name}= out"
            )
