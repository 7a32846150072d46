"""MIME parts that refuse header injection, as `django.core.mail` has them.

They render with "From " lines left alone, and text in UTF-8 as it is unless a line is too long for SMTP, when it
becomes quoted-printable. Who may send 8-bit text where is not known here: see `mailworker.mail.seven_bit`.
"""

from __future__ import annotations

from email.charset import QP, Charset
from email.generator import BytesGenerator, Generator
from email.message import Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

from mailworker.mail.header import forbid_multi_line_headers

#: Octets of a line without its CRLF (RFC 5322 §2.1.1, RFC 5321 §4.5.3.1.6).
MAX_LINE = 998


def _utf8(body_encoding: int | None) -> Charset:
    charset = Charset("utf-8")
    charset.body_encoding = body_encoding  # type: ignore[assignment]  # None is documented: no encoding
    return charset


#: The email package would put UTF-8 into base64, which reads badly and draws spam filters' attention.
utf8_charset = _utf8(None)
#: For text with a line over MAX_LINE: quoted-printable shortens lines.
utf8_charset_qp = _utf8(QP)

if TYPE_CHECKING:
    _Base = Message
else:
    _Base = object


class MIMEMixin(_Base):
    """Rendering that does not put a ">" before lines that begin with "From "."""

    def as_string(self, unixfrom: bool = False, linesep: str = "\n") -> str:  # type: ignore[override]
        """Return the message as text.

        Args:
            unixfrom: begin with the "From " line of an mbox.
            linesep: what ends a line.
        """
        out = StringIO()
        Generator(out, mangle_from_=False).flatten(self, unixfrom=unixfrom, linesep=linesep)
        return out.getvalue()

    def as_bytes(self, unixfrom: bool = False, linesep: str = "\n") -> bytes:  # type: ignore[override]
        """Return the message as bytes; arguments as in `as_string`."""
        out = BytesIO()
        BytesGenerator(out, mangle_from_=False).flatten(self, unixfrom=unixfrom, linesep=linesep)
        return out.getvalue()


class SafeMIMEMessage(MIMEMixin, MIMEMessage):  # pyright: ignore[reportIncompatibleMethodOverride]  # Django's signature
    """A message/rfc822 part. Its own headers are ASCII (RFC 2046 §5.2.1)."""

    def __setitem__(self, name: str, val: Any) -> None:
        name, val = forbid_multi_line_headers(name, val, "ascii")
        MIMEMessage.__setitem__(self, name, val)


class SafeMIMEText(MIMEMixin, MIMEText):  # pyright: ignore[reportIncompatibleMethodOverride]  # Django's signature
    """A text part.

    Args:
        _text: the text.
        _subtype: of text/.
        _charset: name, or a `Charset` that also says how the body is encoded.
    """

    def __init__(self, _text: str, _subtype: str = "plain", _charset: str | Charset | None = None) -> None:
        self.encoding = _charset
        MIMEText.__init__(self, _text, _subtype=_subtype, _charset=_charset)  # type: ignore[arg-type]  # takes both

    def __setitem__(self, name: str, val: Any) -> None:
        name, val = forbid_multi_line_headers(name, val, self.encoding)
        MIMEText.__setitem__(self, name, val)

    def set_payload(self, payload: Any, charset: Any = None) -> None:
        """Set the text, in a transfer encoding that keeps lines within `MAX_LINE`."""
        if charset == "utf-8" and not isinstance(charset, Charset):
            is_long = any(len(line.encode(errors="surrogateescape")) > MAX_LINE for line in payload.splitlines())
            charset = utf8_charset_qp if is_long else utf8_charset
        MIMEText.set_payload(self, payload, charset=charset)


class SafeMIMEMultipart(MIMEMixin, MIMEMultipart):  # pyright: ignore[reportIncompatibleMethodOverride]  # Django's signature
    """A multipart container.

    Args:
        _subtype: of multipart/.
        boundary: between the parts; None = made up.
        _subparts: the first parts.
        encoding: charset of encoded words in its headers.
        _params: of the Content-Type.
    """

    def __init__(
        self,
        _subtype: str = "mixed",
        boundary: str | None = None,
        _subparts: Any = None,
        encoding: str | Charset | None = None,
        **_params: Any,
    ) -> None:
        self.encoding = encoding
        MIMEMultipart.__init__(self, _subtype, boundary, _subparts, **_params)

    def __setitem__(self, name: str, val: Any) -> None:
        name, val = forbid_multi_line_headers(name, val, self.encoding)
        MIMEMultipart.__setitem__(self, name, val)
