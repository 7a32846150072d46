"""A letter's templates, compiled, and the messages that they and a row come to. Safe to share between threads.

A message carries its Message-ID and Date in its headers, so that every attempt at its mail is the same message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mailworker import settings
from mailworker.errors import BadRow
from mailworker.mail import unsubscribe
from mailworker.mail.address import envelope_address
from mailworker.mail.identity import date_at, message_id_of
from mailworker.mail.letter.binding import Bound, binder
from mailworker.mail.manners import manners
from mailworker.mail.message import EmailMultiAlternatives
from mailworker.mail.template.engine import Compiled
from mailworker.mail.template.image import InlineImage
from mailworker.mail.template.mail_template import Content, MailTemplate

if TYPE_CHECKING:
    from mailworker.mail.letter.letter import Letter

#: The variable that holds a recipient's link.
UNSUBSCRIBE_URL = "unsubscribe_url"

#: Names of the templates of fields. A file may be called so too, and is in nobody's way: a letter's own goes first. None ends with
#: .html, for what is named so is escaped.
SENDER = "the sender"


def reply_name(place: int) -> str:
    """Return the name of the template of a Reply-To address."""
    return f"the Reply-To address {place + 1}"


def header_name(header: str) -> str:
    """Return the name of the template of a header's value."""
    return f"the {header} header"


def fields_of(sender: str, reply_to: Sequence[str], headers: Mapping[str, str]) -> dict[str, str]:
    """Return the templates of a letter's fields, by their names."""
    return {
        SENDER: sender,
        **{reply_name(place): source for place, source in enumerate(reply_to)},
        **{header_name(name): source for name, source in headers.items()},
    }


class Filled(NamedTuple):
    """What a letter and a row come to, before it is a message.

    Attributes:
        to: the recipient.
        sender: as the From header shows it.
        reply_to: addresses.
        headers: those of the letter.
        content: subject, bodies and images.
        link: by which the recipient gets no more; None = there is none.
    """

    to: str
    sender: str
    reply_to: list[str]
    headers: dict[str, str]
    content: Content
    link: str | None


class Fill:
    """A letter, ready for rows.

    Args:
        letter: it.

    Attributes:
        letter: see there.
        bound: its templates.
        content: those of subject and body.
        sender: what the sender comes to.
        reply_to: what the addresses of Reply-To come to.
        headers: name -> what the header comes to.

    Raises:
        ConfigurationError: the engine is not installed.
        TemplateError: a template cannot be compiled.
    """

    def __init__(self, letter: Letter) -> None:
        self.letter = letter
        fields = fields_of(letter.from_email, letter.reply_to, letter.headers)
        self.bound: Bound = binder(letter.engine).bound(settings.current(), {**letter.sources, **fields})
        self.content = MailTemplate(
            letter.template,
            self.bound.compiled(letter.subject),
            None if letter.text is None else self.bound.compiled(letter.text),
            None if letter.html is None else self.bound.compiled(letter.html),
            {name: InlineImage.of(name, content) for name, content in letter.images.items()}.get,
            letter.inlines_css,
        )
        self.sender = Line.of(self.bound, SENDER)
        self.reply_to = [Line.of(self.bound, reply_name(place)) for place in range(len(letter.reply_to))]
        self.headers = {name: Line.of(self.bound, header_name(name)) for name in letter.headers}
        given = {name.lower() for name in letter.headers}
        self._is_dated, self._is_named = "date" in given, "message-id" in given

    def message(self, row: Mapping[str, Any], *, mail_id: str, bulk: str, date: datetime) -> EmailMultiAlternatives:
        """Return the message for a row, see `Letter.message`.

        Args:
            row: the values that are there, by column.
            mail_id: see there.
            bulk: see there.
            date: see there.
        """
        made = self.filled(row, bulk)
        fixed: dict[str, str] = {}
        if not self._is_dated:
            fixed["Date"] = date_at(date.timestamp())
        if not self._is_named:
            fixed["Message-ID"] = message_id_of(mail_id, made.sender)
        more = manners(made.headers, made.link) if self.letter.manners else {}
        message = EmailMultiAlternatives(
            made.content.subject,
            made.content.text,
            made.sender,
            [made.to],
            headers={**fixed, **made.headers, **more},
            reply_to=made.reply_to,
        )
        if made.content.html:
            message.attach_alternative(made.content.html, "text/html")
        for image in made.content.images:
            message.attach(image.part())
        return message

    def filled(self, row: Mapping[str, Any], bulk: str) -> Filled:
        """Return what the templates come to.

        Args:
            row: the values that are there, by column.
            bulk: whose unsubscribe link it is.

        Raises:
            BadRow, ConfigurationError, TemplateError: see `Letter.message`.
        """
        letter = self.letter
        to = recipient_of(letter, row)
        variables = row
        link: str | None = None
        if letter.unsubscribe_url:
            link = unsubscribe.url(letter.unsubscribe_url, envelope_address(to), bulk)
            variables = {**row, UNSUBSCRIBE_URL: link}
        return Filled(
            to,
            self.sender.text(variables),
            [line.text(variables) for line in self.reply_to],
            {name: line.text(variables) for name, line in self.headers.items()},
            self.content.render(variables),
            link,
        )


def recipient_of(letter: Letter, row: Mapping[str, Any]) -> str:
    """Return the recipient as the row has it, without spaces around.

    Raises:
        BadRow: the column is missing or holds no text.
    """
    to = row.get(letter.to)
    if not isinstance(to, str):
        got = "is missing" if to is None else f"holds {type(to).__name__}"
        raise BadRow(f"{letter.to}: the recipient {got}; expected an address, such as ann@example.com")
    return to.strip(" \t")


class Line:
    """A field's value: the same for all rows, or a template."""

    def __init__(self, constant: str | None, template: Compiled) -> None:
        self.constant = constant
        self._template = template

    @classmethod
    def of(cls, bound: Bound, name: str) -> Line:
        return cls(bound.constant(name), bound.compiled(name))

    def text(self, variables: Mapping[str, Any]) -> str:
        return self._template.render(variables) if self.constant is None else self.constant
