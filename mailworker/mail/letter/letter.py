"""A letter: all that the mails of a bulk have in common, in one value that can be stored, and known again by its digest.

`Letter.load` reads templates and settings; a letter that is there needs neither of them again but for the keys that sign its
unsubscribe links and the function that adds to the engine. It is compiled when it is first used, once, and kept with its templates.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mailworker.errors import CodecError
from mailworker.mail.letter.binding import is_known
from mailworker.mail.payload import Bytes, read_head, write_head
from mailworker.mail.sealing import Sealer

if TYPE_CHECKING:
    from mailworker.mail.letter.filled import Fill
    from mailworker.mail.letter.row import Values
    from mailworker.mail.message import EmailMultiAlternatives

#: First bytes of an encoded letter; readable in a dump of the spool.
MAGIC = b"mwl"

#: Bytes of the digest that stand in each row.
_MARK = 8


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What the mails of a bulk say before a row is filled in.

    Attributes:
        template: the name that it was loaded by.
        engine: which engine its templates are for.
        subject: name of the template of the subject line.
        text: of the text body, None = it is made from the HTML.
        html: of the HTML body, None = there is none.
        sources: name -> source of these and of all that they use.
        images: file -> content of what the HTML shows.
        inlines_css: rules of style go into attributes.
        to: the column with the recipient.
        from_email: the sender; a template over the row, as are the next two.
        reply_to: addresses for the Reply-To header.
        headers: further headers, name -> value.
        columns: the columns that it looks at, None = it may look at any.
        unsubscribe_url: a URL with `{token}` in it, "" = there is none.
        manners: its messages say that they are one of many, and how to get no more.
    """

    template: str
    engine: str
    subject: str
    text: str | None
    html: str | None
    sources: Mapping[str, str] = field(repr=False)
    images: Mapping[str, bytes] = field(repr=False)
    inlines_css: bool = False
    to: str = "email"
    from_email: str = field(repr=False)
    reply_to: tuple[str, ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    columns: tuple[str, ...] | None = None
    unsubscribe_url: str = field(default="", repr=False)
    manners: bool = True

    @classmethod
    def load(
        cls,
        template: str,
        *,
        to: str = "email",
        from_email: str | None = None,
        reply_to: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        language: str | None = None,
        unsubscribe_url: str | None = None,
        manners: bool = True,
    ) -> Letter:
        """Return a letter from templates: `TEMPLATE.subject.txt`, `TEMPLATE.txt` and `TEMPLATE.html`.

        Args:
            template: their name, "news/march" for instance.
            to: the column with the recipient, "ann@example.com" or "Ann <ann@example.com>".
            from_email: sender, a template over the row: "{{ agent }} <{{ agent_email }}>"; None = `DEFAULT_FROM_EMAIL`.
            reply_to: addresses for the Reply-To header, templates as well.
            headers: further headers, whose values are templates as well.
            language: takes `TEMPLATE.de.txt` and so on where one of the two bodies is there in it.
            unsubscribe_url: with `{token}` in it; None = `MAILWORKER_UNSUBSCRIBE_URL`, "" = none.
            manners: the messages carry `Precedence: bulk`, and with an unsubscribe URL List-Unsubscribe and List-Unsubscribe-Post.

        Raises:
            BadHeaderError: a header's name is none, or its value has a line break.
            ConfigurationError: a library is not installed, or a setting is missing or wrong.
            InvalidAddress: the sender is no address.
            TemplateError: a template is missing or wrong, or depends on another one, or on an image, that only a row would name.
            TypeError: something else stands where a text belongs.
        """
        from mailworker.mail.letter.loading import loaded

        return loaded(
            template,
            to=to,
            from_email=from_email,
            reply_to=reply_to,
            headers=headers or {},
            language=language,
            unsubscribe_url=unsubscribe_url,
            manners=manners,
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def encode(self, sealer: Sealer) -> bytes:
        """Return the letter as bytes, compressed, and encrypted if there are keys."""
        return write_head(self._text, sealer, MAGIC)

    @classmethod
    def decode(cls, payload: Bytes, sealer: Sealer) -> Letter:
        """Return the letter that was encoded.

        Raises:
            CodecError: the bytes are no letter of a known version, are damaged, or no key opens them.
        """
        try:
            text = read_head(payload, sealer, MAGIC)
        except CodecError as error:
            raise CodecError(f"a bulk's letter cannot be read: {error}") from None
        try:
            return cls(**_read(json.loads(text)))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            # No `from error`: its text may hold a piece of the letter.
            raise CodecError("a bulk's letter cannot be read: it is malformed") from None

    @cached_property
    def digest(self) -> str:
        """Return what tells this letter from all that would make other mails: 64 hexadecimal digits."""
        return hashlib.sha256(self._text).hexdigest()

    @property
    def id(self) -> str:
        """Return what its rows know it by: the first digits of the digest."""
        return self.digest[: 2 * _MARK]

    @cached_property
    def mark(self) -> bytes:
        """Return its id as it stands in rows."""
        return bytes.fromhex(self.id)

    def named(self, values: Values) -> dict[str, Any]:
        """Return a row's values by their columns, without those that are missing.

        Raises:
            CodecError: they are another letter's.
        """
        if isinstance(values, list):
            columns = self.columns
            if columns is None or len(columns) != len(values):
                raise CodecError("the row has other columns than its letter")
            return {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        return {name: value for name, value in values.items() if value is not None}

    def message(self, values: Values, *, mail_id: str, bulk: str, date: datetime) -> EmailMultiAlternatives:
        """Return the message for a row; the same for each attempt.

        Args:
            values: of the row, as `read_row` returns them or by column.
            mail_id: becomes the Message-ID, with the sender's domain.
            bulk: whose unsubscribe link it is.
            date: for the Date header.

        Raises:
            BadRow: the recipient's column is missing or holds no text.
            ConfigurationError: a library or a key is missing.
            TemplateError: a template wants a variable that the row has not.
        """
        return self.fill.message(self.named(values), mail_id=mail_id, bulk=bulk, date=date)

    @cached_property
    def fill(self) -> Fill:
        """Return the letter's templates, compiled.

        Raises:
            ConfigurationError: the engine is not installed.
            TemplateError: a template cannot be compiled.
        """
        from mailworker.mail.letter.filled import Fill

        return Fill(self)

    @cached_property
    def _text(self) -> bytes:
        tree = {each.name: getattr(self, each.name) for each in fields(self)}
        tree["images"] = {name: b64encode(content).decode("ascii") for name, content in self.images.items()}
        return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _read(tree: Any) -> dict[str, Any]:
    """Return a letter's fields from its JSON.

    Raises:
        LookupError, TypeError, ValueError: they are none.
    """
    known = {each.name for each in fields(Letter)}
    if tree.keys() != known or not is_known(tree["engine"]):
        raise ValueError
    read = dict(tree)
    for name in ("sources", "headers", "images"):
        _check_texts([*read[name].keys(), *read[name].values()])
    read["images"] = {name: b64decode(content, validate=True) for name, content in read["images"].items()}
    read["reply_to"] = tuple(read["reply_to"])
    read["columns"] = None if read["columns"] is None else tuple(read["columns"])
    _check_texts([*read["reply_to"], *(read["columns"] or ())])
    _check_texts([read[name] for name in ("template", "subject", "to", "from_email", "unsubscribe_url")])
    _check_texts([read[name] for name in ("text", "html") if read[name] is not None])
    if not all(isinstance(read[name], bool) for name in ("inlines_css", "manners")):
        raise TypeError
    return read


def _check_texts(values: Sequence[Any]) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError
