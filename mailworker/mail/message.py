"""A message as the caller composes it: `EmailMessage` and `EmailMultiAlternatives` with Django 5.2's behaviour.

`message()` renders to the bytes that Django renders to, but where Django's would be a broken or a talkative mail:
a field in `headers` that the message sets by itself replaces that one, whatever its letter case, and never doubles it;
`Bcc` in `headers` is not shown to the recipients; a Content-Type there is refused; text in an attachment that is no
text/* is UTF-8; the Message-ID ends with the sender's domain and costs no DNS look-up; an attached part that the HTML shows by
`cid:` stands beside it in a multipart/related (`mailworker.mail.related`). Headers that could break out of
their line raise `BadHeaderError` (`mailworker.mail.check`). What becomes of a message is the backend's matter.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from email.charset import Charset
from email.message import Message
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

from mailworker import settings
from mailworker.mail import attachment as attachments_of
from mailworker.mail import connection as connections
from mailworker.mail.address import sanitize_address
from mailworker.mail.attachment import DEFAULT_ATTACHMENT_MIME_TYPE, EmailAlternative, EmailAttachment
from mailworker.mail.check import check_headers, check_is_list, check_is_no_string
from mailworker.mail.identity import date_now, message_id_for
from mailworker.mail.mime import SafeMIMEMultipart, SafeMIMEText
from mailworker.mail.options import AskedOptions, QueueOptions, asked_options
from mailworker.mail.related import unrelated, with_related
from mailworker.mail.value import is_text
from mailworker.outcome import Outcome

#: Field names, lower-case, that are set from the message's own attributes unless `headers` has them.
_OWN = {"subject": "Subject", "from": "From", "to": "To", "cc": "Cc", "reply-to": "Reply-To"}
#: Never shown: who gets a blind copy is nobody's business (RFC 5322 §3.6.3); the body sets MIME-Version.
_HIDDEN = frozenset({"bcc", "resent-bcc", "mime-version"})
#: At most one of each may stand in a message (RFC 5322 §3.6).
_ONCE = frozenset({"date", "message-id", "sender", "in-reply-to", "references"})


class Fields(TypedDict, total=False):
    """What `from_template` passes on to the message."""

    from_email: Any
    to: Iterable[Any] | None
    bcc: Iterable[Any] | None
    connection: Any
    attachments: Iterable[Any] | None
    headers: Mapping[str, Any] | None
    cc: Iterable[Any] | None
    reply_to: Iterable[Any] | None


class EmailMessage:
    """A message to one or more recipients.

    Args:
        subject: the subject line.
        body: plain text; its subtype is `content_subtype`.
        from_email: sender, "a@example.com" or "Name <a@example.com>"; None = `DEFAULT_FROM_EMAIL`.
        to: recipients, a list or tuple.
        bcc: recipients that the headers do not show.
        connection: the backend to send with; None = the `default` mailer's.
        attachments: `EmailAttachment`s, (name, content, type) tuples, or `MIMEBase` parts (Django 6: `MIMEPart`).
        headers: further headers; one that the message would set by itself replaces it.
        cc: recipients that the Cc header shows.
        reply_to: addresses for the Reply-To header.

    Attributes:
        encoding: charset of this message, a name or an `email.charset.Charset`; None = `DEFAULT_CHARSET`.
        outcomes: recipient's bare address -> what became of it, set by backends that report it.
        mail_id: id of the queued mail, set by the queue.
        relay_login: user and password for the relay, if the mail carries its own; set in the worker.
        queue_options: what the send asked of the queue, on the copies that the locmem backend keeps.

    Raises:
        TypeError: a list of recipients is a string.

    Source: https://docs.djangoproject.com/en/5.2/topics/email/#emailmessage-objects
    """

    content_subtype: str = "plain"
    mixed_subtype: str = "mixed"
    encoding: str | Charset | None = None
    connection: Any = None
    mail_id: str | None = None
    relay_login: tuple[str, str] | None = None
    _unsure_id: str | None = None
    queue_options: QueueOptions | None = None
    #: Recipients of a second try; None = all.
    _restricted_to: tuple[str, ...] | None = None

    def __init__(
        self,
        subject: Any = "",
        body: Any = "",
        from_email: Any = None,
        to: Iterable[Any] | None = None,
        bcc: Iterable[Any] | None = None,
        connection: Any = None,
        attachments: Iterable[Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        cc: Iterable[Any] | None = None,
        reply_to: Iterable[Any] | None = None,
    ) -> None:
        self.to = _listed("to", to)
        self.cc = _listed("cc", cc)
        self.bcc = _listed("bcc", bcc)
        self.reply_to = _listed("reply_to", reply_to)
        self.from_email: Any = from_email or settings.current().DEFAULT_FROM_EMAIL
        self.subject: Any = subject
        self.body: Any = body or ""
        self.attachments: list[Any] = []
        for each in attachments or ():
            if isinstance(each, Message):
                self.attach(each)
            else:
                self.attach(*each)
        self.extra_headers: Mapping[str, Any] = headers or {}
        self.connection = connection
        self.outcomes: dict[str, Outcome] = {}

    @classmethod
    def from_template(
        cls,
        template: str,
        context: Mapping[str, Any] | None = None,
        *,
        language: str | None = None,
        subject: str | None = None,
        **fields: Unpack[Fields],
    ) -> EmailMultiAlternatives:
        """Return a message from templates: `TEMPLATE.subject.txt`, `TEMPLATE.txt` and `TEMPLATE.html`.

        Without a `.txt` the text is made from the HTML; without a `.html` there is none. An image that the HTML shows by
        `<img src="cid:logo.png">`, and that lies beside the templates, goes along.

        Args:
            template: their name, "orders/shipped" for instance.
            context: their variables.
            language: takes `TEMPLATE.de.txt` and so on where one of the two bodies is there in it.
            subject: in place of the template for it.
            **fields: from_email, to and whatever else a message takes.

        Raises:
            ConfigurationError: no template engine is installed, or a setting is wrong.
            TemplateError: a template is missing or wrong, or wants a variable that the context has not.
        """
        kind = cls if issubclass(cls, EmailMultiAlternatives) else EmailMultiAlternatives
        return kind.from_template(template, context, language=language, subject=subject, **fields)

    def message(self) -> Message:
        """Render to a MIME tree.

        Raises:
            BadHeaderError: something that belongs into a header could break out of its line.
            LookupError: `encoding` names no charset.
            UnicodeEncodeError: the body has characters that its charset has not.
        """
        check_headers(self)
        given = _by_lower_name(self.extra_headers)
        rendered = self._create_message(SafeMIMEText(_text(self.body), self.content_subtype, self._charset()))
        own = {"subject": self.subject, "from": self._shown_address(self.from_email)}
        for name, addresses in (("to", self.to), ("cc", self.cc), ("reply-to", self.reply_to)):
            if addresses:
                own[name] = ", ".join(map(self._shown_address, addresses))
        for name, shown in _OWN.items():
            if name in given or name in own:
                rendered[shown] = given[name][1] if name in given else own[name]
        if "date" not in given:
            rendered["Date"] = date_now()
        if "message-id" not in given:
            rendered["Message-ID"] = message_id_for(self)
        for spelled, value in self.extra_headers.items():
            name = str(spelled).lower()
            is_doubled = name in _ONCE and given[name][0] != spelled
            if name not in _OWN and name not in _HIDDEN and not is_doubled:
                rendered[str(spelled)] = value
        return rendered

    def recipients(self) -> list[str]:
        """Return everyone that the message goes to: to, cc and bcc, without blank ones.

        Raises:
            TypeError: one of them has become a string, or something that can be read only once.
        """
        if self._restricted_to is not None:
            return list(self._restricted_to)
        found: list[str] = []
        for name in ("to", "cc", "bcc"):
            addresses = getattr(self, name) or ()
            check_is_list(name, addresses)
            found += [recipient for recipient in addresses if recipient]
        return found

    def restrict_to(self, addresses: Iterable[str]) -> None:
        """Send to these alone from now on, while the headers stay as they are: for a second try at some.

        Args:
            addresses: bare addresses, as `mailworker.mail.address.envelope_recipients` has them.
        """
        self._restricted_to = tuple(addresses)

    def get_connection(self, fail_silently: bool = False) -> Any:
        """Return the message's connection, or a new one of the default mailer.

        A new one is not kept: the next `send` may ask for another `fail_silently`.
        """
        return self.connection or connections.get_connection(fail_silently=fail_silently)

    def send(
        self,
        fail_silently: bool = False,
        *,
        using: str | None = None,
        **options: Unpack[AskedOptions],
    ) -> int:
        """Hand the message to its connection, or to a mailer's.

        Args:
            fail_silently: raise nothing for what goes wrong with sending.
            using: alias of the mailer; None = "default".
            **options: when and how the queue sends it, see `QueueOptions`.

        Returns:
            1 if it was taken, 0 if not, or if there is nobody to send it to.

        Raises:
            BadHeaderError: whatever `fail_silently` says.
            TypeError: both a connection and `using` are given.
            ConfigurationError: an option needs the queue and the backend is another.
        """
        connection, asked = self._way("send()", fail_silently, using, options)
        return connections.hand_over(connection, [self], asked) if connection is not None else 0

    async def asend(
        self,
        fail_silently: bool = False,
        *,
        using: str | None = None,
        **options: Unpack[AskedOptions],
    ) -> int:
        """Hand the message over from an event loop, which goes on meanwhile; otherwise as `send`."""
        connection, asked = self._way("asend()", fail_silently, using, options)
        return await connections.ahand_over(connection, [self], asked) if connection is not None else 0

    def _way(
        self, what: str, fail_silently: bool, using: str | None, options: AskedOptions
    ) -> tuple[Any, QueueOptions]:
        """Return the connection to hand the message to, None if it has no recipients, and what is asked of it."""
        asked = asked_options(what, options)
        if using is not None and self.connection:
            raise TypeError(f"using={using!r} and connection= are both given: expected one of them")
        if not self.recipients():
            return None, asked
        # What is wrong with the message is told before a backend is built, but for one that looks at it itself.
        if not getattr(self.connection, "checks_messages", False):
            check_headers(self)
        if using is not None:
            return connections.connection_for(using, fail_silently=fail_silently), asked
        return self.get_connection(fail_silently), asked

    def attach(self, filename: Any = None, content: Any = None, mimetype: str | None = None) -> None:
        """Attach a file, or a finished MIME part.

        Args:
            filename: its name; or a `MIMEBase` (Django 6: `MIMEPart`), which goes in as it is and alone.
            content: text or bytes. Bytes of a text/* type are decoded as UTF-8; what is none becomes
                application/octet-stream. For message/rfc822 an `EmailMessage`, an `email.message.Message` or source.
            mimetype: "type/subtype"; None = guessed from the name.

        Raises:
            ValueError: a MIME part comes with more, content is missing, or the type is none.
        """
        if isinstance(filename, Message):
            if content is not None or mimetype is not None:
                raise ValueError(
                    "attach() got a MIME part and content or mimetype: a part has both already, leave them out"
                )
            self.attachments.append(filename)
            return
        if content is None:
            raise ValueError("attach() got no content: expected text or bytes, or a MIME part as the only argument")
        self.attachments.append(attachments_of.attachment(filename, content, mimetype))

    def attach_file(self, path: str | PathLike[str], mimetype: str | None = None) -> None:
        """Attach a file from disk under its own name; type and decoding as in `attach`.

        Raises:
            OSError: it cannot be read.
        """
        file = Path(path)
        self.attach(file.name, file.read_bytes(), mimetype)

    def __copy__(self) -> Self:
        """Return a copy that shares the connection, which `__getstate__` leaves out."""
        twin = self.__class__.__new__(self.__class__)
        twin.__setstate__(self._attributes())
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a deep copy; the connection is no part of the message and is shared."""
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        twin.__setstate__(
            {n: v if n == "connection" else copy.deepcopy(v, memo) for n, v in self._attributes().items()}
        )
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: everything but the connection, which has sockets and locks."""
        return {name: value for name, value in self._attributes().items() if name != "connection"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take on what `__getstate__` returned."""
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def _attributes(self) -> dict[str, Any]:
        """Return what stands on the message, in its dict and in slots of subclasses."""
        state: Any = object.__getstate__(self)
        in_dict, in_slots = state if isinstance(state, tuple) else (state, None)
        return {**(in_dict or {}), **(in_slots or {})}

    def _charset(self) -> str | Charset:
        return self.encoding or settings.current().DEFAULT_CHARSET

    def _shown_address(self, address: Any) -> Any:
        if not isinstance(address, tuple):
            return str(address)
        # A long name comes folded; a header's value is one line here.
        return sanitize_address(address, self._charset()).replace("\n", "")

    # The names of the following are Django's: subclasses in the wild build on them.

    def _create_message(self, msg: Message) -> Message:
        """Put around the body what goes with it."""
        return self._create_attachments(self._create_body(msg))

    def _create_body(self, msg: Message) -> Message:
        if self.content_subtype != "html" or not self.attachments:
            return msg
        return with_related(msg, self.body, self.attachments, self._charset())

    def _create_attachments(self, msg: Message) -> Message:
        attachments = unrelated(self.attachments, msg)
        if not attachments:
            return msg
        mixed = SafeMIMEMultipart(_subtype=self.mixed_subtype, encoding=self._charset())
        if self.body or msg.is_multipart():
            mixed.attach(msg)
        for each in attachments:
            mixed.attach(attachments_of.fitting(each) if isinstance(each, Message) else self._create_attachment(*each))
        return mixed

    def _create_mime_attachment(self, content: Any, mimetype: str) -> Message:
        return attachments_of.part(content, mimetype, self._charset())

    def _create_attachment(self, filename: Any, content: Any, mimetype: str | None = None) -> Message:
        built = self._create_mime_attachment(content, mimetype or attachments_of.guessed_type(filename))
        return attachments_of.named_part(filename, built) if filename else built


class EmailMultiAlternatives(EmailMessage):
    """A message whose body comes in several representations, plain text and HTML for instance.

    Args:
        alternatives: `EmailAlternative`s or (content, type) tuples. The others are as in `EmailMessage`.
    """

    alternative_subtype: str = "alternative"

    def __init__(
        self,
        subject: Any = "",
        body: Any = "",
        from_email: Any = None,
        to: Iterable[Any] | None = None,
        bcc: Iterable[Any] | None = None,
        connection: Any = None,
        attachments: Iterable[Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        alternatives: Iterable[Any] | None = None,
        cc: Iterable[Any] | None = None,
        reply_to: Iterable[Any] | None = None,
    ) -> None:
        super().__init__(subject, body, from_email, to, bcc, connection, attachments, headers, cc, reply_to)
        self.alternatives = [EmailAlternative(*each) for each in alternatives or ()]

    @classmethod
    def from_template(
        cls,
        template: str,
        context: Mapping[str, Any] | None = None,
        *,
        language: str | None = None,
        subject: str | None = None,
        **fields: Unpack[Fields],
    ) -> Self:
        """Return a message of this class from templates, see `EmailMessage.from_template`."""
        from mailworker.mail.template.composing import composed

        return composed(cls, template, context, language=language, subject=subject, fields=fields)

    def attach_alternative(self, content: Any, mimetype: str) -> None:
        """Add a representation; a reader shows the last one that it can.

        Raises:
            ValueError: one of the two is missing.
        """
        if content is None or mimetype is None:
            raise ValueError("attach_alternative() needs both content and mimetype, and one of them is None")
        self.alternatives.append(EmailAlternative(content, mimetype))

    def body_contains(self, text: str) -> bool:
        """Tell whether the body and every text/* alternative contain a text."""
        texts = [self.body, *(content for content, mimetype in self.alternatives if mimetype.startswith("text/"))]
        return all(text in each for each in texts)

    def _create_message(self, msg: Message) -> Message:
        return self._create_attachments(self._create_alternatives(self._create_body(msg)))

    def _create_alternatives(self, msg: Message) -> Message:
        if not self.alternatives:
            return msg
        container = SafeMIMEMultipart(_subtype=self.alternative_subtype, encoding=self._charset())
        if self.body:
            container.attach(msg)
        for content, mimetype in self.alternatives:
            part = self._create_mime_attachment(content, mimetype)
            if mimetype == "text/html" and self.attachments:
                part = with_related(part, content, self.attachments, self._charset())
            container.attach(part)
        return container


def _listed(name: str, addresses: Iterable[Any] | None) -> list[Any]:
    check_is_no_string(name, addresses)
    return list(addresses or ())


def _text(body: Any) -> str:
    if not is_text(body):
        raise TypeError(f"the body is {type(body).__name__}: expected str; decode bytes")
    return str(body)


def _by_lower_name(headers: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Return lower-case name -> (name as given, value); of two spellings the usual one counts, else the last."""
    usual = {**_OWN, "date": "Date", "message-id": "Message-ID"}
    found: dict[str, tuple[str, Any]] = {}
    for spelled, value in headers.items():
        name = str(spelled).lower()
        if name not in found or found[name][0] != usual.get(name):
            found[name] = (spelled, value)
    return found


__all__ = [
    "DEFAULT_ATTACHMENT_MIME_TYPE",
    "EmailAlternative",
    "EmailAttachment",
    "EmailMessage",
    "EmailMultiAlternatives",
]
