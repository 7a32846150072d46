"""Makes rendered bytes fit for a server that takes seven bits only (no 8BITMIME, RFC 6152 §3), and lines for any server.

Each part with 8-bit text or with lines over 998 octets gets a transfer encoding: quoted-printable where most of it is
readable ASCII, base64 otherwise. All other bytes stay as they are, headers and boundaries included. Signed and encrypted
parts are never touched (RFC 1847 §2.1: that would break the signature), nor are raw 8-bit headers: the sender is at fault,
and the relay decides. So the result may still be 8-bit; `is_7bit` tells. Nothing here fails: what is no MIME stays as it is.
"""

from __future__ import annotations

import binascii
import re
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32

from mailworker.mail.base64_lines import base64_lines
from mailworker.mail.mime import MAX_LINE

#: Levels of parts inside parts; deeper ones stay as they are.
_MAX_DEPTH = 50

_UNTOUCHED = frozenset({"multipart/signed", "multipart/encrypted"})
_INNER_MESSAGE = frozenset({"message/rfc822", "message/news"})
_CRLF = b"\r\n"
_CTE = re.compile(rb"^Content-Transfer-Encoding[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n", re.IGNORECASE | re.MULTILINE)
_MIME_VERSION = re.compile(rb"^MIME-Version[ \t]*:", re.IGNORECASE | re.MULTILINE)
#: Octets that quoted-printable writes as three.
_QUOTED = bytes(octet for octet in range(256) if octet not in b"\t\r\n" and (octet < 32 or octet == 61 or octet > 126))


def is_7bit(content: bytes) -> bool:
    """Tell whether every server takes these bytes: ASCII, no NUL, no line over 998 octets."""
    return content.isascii() and is_8bit_clean(content)


def is_8bit_clean(content: bytes) -> bool:
    """Tell whether a server with 8BITMIME takes these bytes (RFC 2045 §2.8): no NUL, no line over 998 octets."""
    if b"\0" in content:
        return False
    # One look back from where a line has to have ended: 0.3 ms for a megabyte, where splitting it takes 3 to 50.
    start, end = 0, len(content)
    while end - start > MAX_LINE:
        found = content.rfind(_CRLF, start, start + MAX_LINE + 2)
        if found < 0:
            return False
        start = found + 2
    return True


def to_7bit(content: bytes) -> bytes:
    """Return the same message with the parts encoded that need it.

    Args:
        content: a rendered message with CRLF line ends.
    """
    return content if is_7bit(content) else _entity(content, "text/plain", 0)


def _entity(content: bytes, default_type: str, depth: int) -> bytes:
    """Convert one entity (RFC 2045 §2.4), a message or a part; one whose fields the standard library fails over stays as it is."""
    try:
        return _converted(content, default_type, depth)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - TypeError of parameters in pieces beside whole ones (RFC 2231), and whatever comes
        return content


def _converted(content: bytes, default_type: str, depth: int) -> bytes:
    head, body = _split(content)
    if is_7bit(body) or depth > _MAX_DEPTH:
        return content
    headers = BytesHeaderParser(policy=compat32).parsebytes(head)
    headers.set_default_type(default_type)
    kind = headers.get_content_type()
    if kind in _UNTOUCHED:
        return content
    if kind.startswith("multipart/"):
        return _multipart(head, body, headers, depth)
    if kind in _INNER_MESSAGE:
        return _container(head, _entity(body, "text/plain", depth + 1), headers)
    if kind.startswith("message/"):
        # RFC 2046 §5.2: these may have no other encoding, and what is inside is not known here.
        return content
    return _leaf(head, body, headers, top=depth == 0)


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Return the header block with the empty line that ends it, and the body."""
    if content.startswith(_CRLF):
        return _CRLF, content[2:]
    head, found, body = content.partition(b"\r\n\r\n")
    return head + found, body


def _multipart(head: bytes, body: bytes, headers: Message, depth: int) -> bytes:
    boundary = headers.get_boundary()
    if not boundary:
        return head + body
    line = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary.encode("latin-1", "replace")) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    delimiters: list[re.Match[bytes]] = []
    for found in line.finditer(body):
        delimiters.append(found)
        if found[1]:
            break
    if not delimiters:
        return head + body
    inner_type = "message/rfc822" if headers.get_content_subtype() == "digest" else "text/plain"
    pieces = [_readable(body[: delimiters[0].start()])]
    for place, found in enumerate(delimiters):
        pieces.append(found[0])
        is_last = place + 1 == len(delimiters)
        rest = body[found.end() : len(body) if is_last else delimiters[place + 1].start()]
        if found[1]:
            pieces.append(_readable(rest))
        elif rest.startswith(_CRLF):
            pieces += (_CRLF, _entity(rest[2:], inner_type, depth + 1))
        else:
            pieces.append(rest)
    return _container(head, b"".join(pieces), headers)


def _readable(outside: bytes) -> bytes:
    """Return what stands before the first and after the last part, which nobody reads, in ASCII."""
    return outside if outside.isascii() else outside.decode("ascii", "replace").replace("\ufffd", "?").encode()


def _container(head: bytes, body: bytes, headers: Message) -> bytes:
    """Put a container together again; what it says of its content's bits has to be true (RFC 2045 §6.4)."""
    says = str(headers.get("Content-Transfer-Encoding", "")).strip().lower()
    if says in ("8bit", "binary") and is_7bit(body):
        head = _CTE.sub(b"Content-Transfer-Encoding: 7bit\r\n", head, count=1)
    return head + body


def _leaf(head: bytes, body: bytes, headers: Message, *, top: bool) -> bytes:
    says = str(headers.get("Content-Transfer-Encoding", "")).strip().lower()
    if says == "base64":
        try:
            return head + base64_lines(binascii.a2b_base64(body))
        except binascii.Error:
            return head + body
    if says == "quoted-printable":
        body = binascii.a2b_qp(body)
    costs = len(body) - len(body.translate(None, _QUOTED))
    # Two more octets for each quoted one against a third more for all; base64 also for what is no text.
    readable = headers.get_content_maintype() == "text" and costs * 6 <= len(body)
    name, encoded = (b"quoted-printable", _quoted_printable(body)) if readable else (b"base64", base64_lines(body))
    field = b"Content-Transfer-Encoding: " + name + _CRLF
    if _CTE.search(head):
        head = _CTE.sub(field, head, count=1)
    else:
        fields = head.removesuffix(_CRLF) if head != _CRLF else b""
        version = b"MIME-Version: 1.0\r\n" if top and not _MIME_VERSION.search(head) else b""
        head = fields + version + field + _CRLF
    return head + encoded


def _quoted_printable(content: bytes) -> bytes:
    """Encode text whose line ends are CRLF (RFC 2045 §6.7); a CR or LF alone is quoted."""
    return _CRLF.join(
        binascii.b2a_qp(line, quotetabs=False, istext=False).replace(b"=\n", b"=\r\n") for line in content.split(_CRLF)
    )
