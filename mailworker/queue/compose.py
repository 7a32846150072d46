"""A message that is handed over, as a mail: checked, encoded, with its id, its times and its options (DESIGN §5, §7).

What is wrong with a message is raised here, before anything has left. By which carrier it goes is `producer`'s to say; of
that, this knows only whether the carrier keeps large contents apart, and whether it knows mails by their ids.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from mailworker.errors import ConfigurationError, UnserializableMessage
from mailworker.lane import Lane
from mailworker.mail import unsubscribe
from mailworker.mail.check import check_message
from mailworker.mail.codec import Codec
from mailworker.mail.frozen import is_email
from mailworker.mail.manners import manners
from mailworker.mail.options import QueueOptions
from mailworker.mail.sealing import Sealer
from mailworker.settings import Settings
from mailworker.spool.record import Content, Ledger, Mail

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage

#: Messages that are checked and encoded before the first of them leaves.
_WINDOW = 1000

#: Bytes after which a window is full: a generator of large messages must not fill the memory.
_WINDOW_BYTES = 64 * 2**20

#: Names the ids that derive from `key=`; a constant of ours, so that every process derives the same.
_KEY_NAMESPACE = uuid.UUID("6f0d4a3e-5a53-4c1c-9d5f-0d7c1e6b7a11")


@dataclass(frozen=True, slots=True)
class Composed:
    """A message that is ready to travel, and its mail.

    Until one of its notes is made, the message is as if it had never been handed over.

    Attributes:
        message: the caller's object.
        mail: what travels.
        fixed: the headers that were added for this mail: its Message-ID and its Date, and the manners of lane `bulk`.
        domains: of its recipients, lower-case.
    """

    message: EmailMessage
    mail: Mail
    fixed: Mapping[str, Any]
    domains: frozenset[str]

    def queued(self) -> None:
        """Note on the message that the queue has it: sent once more, it is another mail."""
        self.message.mail_id = self.mail.id
        self.message._unsure_id = None  # noqa: SLF001 - the queue's own note

    def lost_from_sight(self) -> None:
        """Note on the message that the queue may have it: sent once more, it is the same mail, Message-ID and all."""
        self.message.mail_id = self.mail.id
        self.message._unsure_id = _Unsure(self.mail.id, self.fixed)  # noqa: SLF001 - the queue's own note


class Window:
    """Messages of one call that are composed before the first of them leaves.

    Attributes:
        composed: they, in the call's order.
    """

    def __init__(self) -> None:
        self.composed: list[Composed] = []
        self._size = 0

    def add(self, one: Composed) -> None:
        """Take one more."""
        self.composed.append(one)
        self._size += one.mail.size

    @property
    def is_full(self) -> bool:
        """True once it has to leave."""
        return len(self.composed) >= _WINDOW or self._size >= _WINDOW_BYTES


class _Unsure(str):
    """The id of a mail that the queue may have, with the headers that make the next try the same mail."""

    __slots__ = ("fixed",)

    fixed: Mapping[str, Any]

    def __new__(cls, mail_id: str, fixed: Mapping[str, Any]) -> Self:
        made = super().__new__(cls, mail_id)
        made.fixed = fixed
        return made


@dataclass(frozen=True, slots=True)
class Tools:
    """What encodes, with the keys of the settings: made once for many messages.

    Attributes:
        sealer: encrypts if there are keys.
        codec: message -> bytes.
    """

    sealer: Sealer
    codec: Codec


_tools: tuple[Settings, Tools] | None = None


def tools(conf: Settings) -> Tools:
    """Return what encodes for these settings."""
    global _tools
    known = _tools
    if known is not None and known[0] is conf:
        return known[1]
    keys = [key.get_secret_value() for key in conf.MAILWORKER_ENCRYPTION_KEYS]
    made = Tools(Sealer(keys), Codec(keys, conf.MAILWORKER_MAX_MESSAGE_SIZE))
    _tools = (conf, made)
    return made


class Composer:
    """Makes mails of messages, all with the same options.

    Args:
        conf: the settings.
        options: when and how the mails travel.
        mailer: alias of the mailer that the worker delivers with.
        fail_silently: their delivery ends as dropped if it fails.
        login: user and password for the relay.
        clock: seconds since the epoch, by whoever will look at the mails' times.
        in_spool: the carrier is a spool, which knows mails by their ids and keeps large contents apart.

    Raises:
        ConfigurationError: no mailer has that alias, or a login needs keys.
    """

    def __init__(
        self,
        conf: Settings,
        options: QueueOptions,
        mailer: str,
        *,
        fail_silently: bool,
        login: tuple[str, str] | None,
        clock: Callable[[], float],
        in_spool: bool = False,
    ) -> None:
        conf.mailer(mailer)
        self._tools = tools(conf)
        if login is not None and not self._tools.sealer.has_keys:
            raise ConfigurationError(
                "auth_user and auth_password travel through the queue only encrypted: set MAILWORKER_ENCRYPTION_KEYS, "
                "or name a mailer in MAILERS whose login stays with the worker, and send with using="
            )
        self._options = options
        self._unsubscribe_url = conf.MAILWORKER_UNSUBSCRIBE_URL
        self._mailer = mailer
        self._fail_silently = fail_silently
        self._login = login
        self._clock = clock
        self._in_spool = in_spool
        #: Mails of earlier tries that this call has taken up.
        self._again: set[str] = set()

    def windows(self, messages: Iterable[EmailMessage]) -> Iterator[list[Composed]]:
        """Yield composed messages, as many at a time as are checked before the first of them leaves.

        Raises:
            BadHeaderError, InvalidAddress: a header or an address of a message is not allowed.
            UnserializableMessage, MessageTooLarge: a message cannot be carried.
        """
        window = Window()
        for message in messages:
            one = self.compose(message)
            if one is None:
                continue
            window.add(one)
            if window.is_full:
                yield window.composed
                window = Window()
        if window.composed:
            yield window.composed

    def compose(self, message: EmailMessage) -> Composed | None:
        """Check and encode a message; None if it has no recipients."""
        if not is_email(message):
            raise UnserializableMessage(
                f"cannot queue an object of type {type(message).__name__}; expected an EmailMessage"
            )
        recipients = check_message(message)
        if not recipients:
            return None
        now = self._clock()
        unsure = self._unsure(message)
        more = self._manners(message, recipients)
        payload, contents, fixed = self._encoded(message, more if unsure is None else {**more, **unsure.fixed})
        domains = frozenset(recipient.rpartition("@")[2].lower() for recipient in recipients)
        mail = Mail(
            id=self._id(unsure),
            payload=payload,
            contents=contents,
            mailer=self._mailer,
            lane=Lane(self._options.lane or Lane.NORMAL),
            created_at=now,
            due_at=self._options.due_at(now),
            expires_at=self._options.expires_at(now),
            fail_silently=self._fail_silently,
            on_in_doubt="hold" if self._options.on_in_doubt == "hold" else "resend",
            group=self._options.group,
            domain=next(iter(domains)) if len(domains) == 1 else None,
            # A task that carries it may be on its way already, and nothing here could take that one back; a spool knows
            # the id.
            ledger=_IN_DOUBT if unsure is not None and not self._in_spool else _FRESH,
        )
        return Composed(message, mail, fixed, domains)

    def timed(self, composed: Composed, now: float) -> Composed:
        """Return what was composed by another clock, as if it had been composed at `now`.

        Args:
            composed: what `compose` returned.
            now: seconds since the epoch, by the carrier's clock. What was asked for a moment keeps it, though it be over.
        """
        mail, options = composed.mail, self._options
        expires_at = mail.expires_at
        if expires_at is not None and not isinstance(options.expires, datetime):
            expires_at += now - mail.created_at
        return replace(composed, mail=replace(mail, created_at=now, due_at=options.due_at(now), expires_at=expires_at))

    def _manners(self, message: EmailMessage, recipients: Sequence[str]) -> Mapping[str, str]:
        """Return what a mail of many says besides: how its recipient gets no more, if that is one."""
        if self._options.lane != Lane.BULK:
            return {}
        link: str | None = None
        if self._unsubscribe_url is not None and len(recipients) == 1:
            link = unsubscribe.url(self._unsubscribe_url, recipients[0], self._options.group or "")
        return manners(message.extra_headers, link)

    def _encoded(
        self, message: EmailMessage, fixed: Mapping[str, Any]
    ) -> tuple[bytes, tuple[Content, ...], Mapping[str, Any]]:
        """Return payload, contents and the headers that were added for them; the message's own stay as they are."""
        own = message.extra_headers
        known = {str(name).lower() for name in own}
        message.extra_headers = {**{n: value for n, value in fixed.items() if n.lower() not in known}, **own}
        try:
            parts = self._tools.codec.encode_parts(message, login=self._login)
            added = {name: value for name, value in message.extra_headers.items() if name not in own}
        finally:
            message.extra_headers = own
        if not self._in_spool:
            return parts.join(), (), added
        return parts.head, tuple(Content(self._name(blob.digest), blob.stored) for blob in parts.blobs), added

    def _name(self, digest: bytes) -> str:
        # A plain digest would tell who has a file that it was sent. By the first key, which has sealed the bytes: a name by an
        # older one would lead to bytes that keep that one needed for ever.
        return self._tools.sealer.name(digest) if self._tools.sealer.has_keys else digest.hex()

    def _unsure(self, message: EmailMessage) -> _Unsure | None:
        """Return the note on a message whose answer was lost; once a call, or one object would be one mail for two."""
        unsure = getattr(message, "_unsure_id", None)
        if not isinstance(unsure, _Unsure) or unsure in self._again:
            return None
        self._again.add(unsure)
        return unsure

    def _id(self, unsure: str | None) -> str:
        key = self._options.key
        if key is None:
            return str(unsure or secrets.token_hex(16))
        if self._tools.sealer.has_keys:
            return self._tools.sealer.mark(b"key:" + key.encode())[:32]
        return uuid.uuid5(_KEY_NAMESPACE, key).hex


_FRESH = Ledger()
_IN_DOUBT = Ledger(in_doubt=True)
