"""Addresses: as a header shows them, and as the envelope carries them.

The two differ. A header keeps the display name (RFC 2047) and is lenient, as Django's is; the envelope holds the bare
addr-spec (RFC 5321 §4.1.2) and nothing that could end the MAIL or RCPT command early. Domains are IDNA-encoded in both.
A local part that is not ASCII stays as it is in the envelope: SMTPUTF8 is the wire's matter. What cannot be an address
raises `InvalidAddress`; whether a mailbox exists is for the relay to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email import _header_value_parser as parser
from email.charset import Charset
from email.errors import HeaderParseError
from email.header import Header
from email.headerregistry import Address
from email.utils import formataddr
from functools import lru_cache
from typing import Any, Protocol

from mailworker.errors import InvalidAddress

#: Octets of a local part (RFC 5321 §4.5.3.1.1).
MAX_LOCAL_PART = 64
#: Octets of a domain (RFC 5321 §4.5.3.1.2).
MAX_DOMAIN = 255
#: Characters of one recipient with its display name: more is no address, and the parser's work grows with the length.
MAX_ADDRESS_TEXT = 2000
#: Characters of one that is remembered, so that what somebody makes up fills no memory.
_MAX_KEPT = 500

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
#: A dot-atom at a domain name in ASCII, its two halves as groups: it stands for itself in a header and on the wire.
PLAIN_ADDRESS = rf"({_ATOM}(?:\.{_ATOM})*)@({_DOMAIN})"

#: What nearly all addresses look like: no parser is needed for them. The display name holds no special but the dot
#: (RFC 5322), or stands in quotes and holds no escape and no encoded word.
_SIMPLE = re.compile(
    rf"[^\S\r\n]*(?:[^<>\"(),:;@\[\]\\\x00-\x1f\x7f]*<{PLAIN_ADDRESS}>|{PLAIN_ADDRESS})[ \t]*"
    rf"| *\"[^\"\\=\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+\" *<{PLAIN_ADDRESS}> *"
)
#: Those of them that stand in a header as they are, too.
_AT_SIGHT = re.compile(rf"{PLAIN_ADDRESS}|[A-Za-z0-9][A-Za-z0-9.'_-]*(?: [A-Za-z0-9.'_-]+)* <{PLAIN_ADDRESS}>")
_DOMAIN_NAME = re.compile(_DOMAIN)
#: RFC 5321 §4.1.3, loosely: what is inside is for the relay to judge.
_DOMAIN_LITERAL = re.compile(r"\[[A-Za-z0-9.:-]+\]")
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
#: RFC 6531 §3.3 lets everything beyond ASCII into an atom; C1 controls, separators and surrogates are no letters.
_NOT_IN_ATOM = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff()<>\[\]:;@\\,\"]|\A\.|\.\.|\.\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
#: A local part up to its "@", quoted or not, its first character apart.
_LOCAL_PART = re.compile(r"""("[^"]?)[^"]*"@|([^\s@<>,;:]?)[^\s@<>,;:]*@""")
#: RFC 5322 §3.4: `name: members;`
_GROUP = re.compile(r"[^<>@]*:.*;\s*", re.DOTALL)
#: What the standard library's address parser raises for text that is no address.
_PARSER_ERRORS = (HeaderParseError, ValueError, IndexError, AttributeError, TypeError, RecursionError)


class HasRecipients(Protocol):
    """A message as far as its envelope goes: ours, Django's, or anyone's."""

    def recipients(self) -> Iterable[Any]:
        """Return everyone that the message goes to."""
        ...


def idna(domain: str) -> str:
    """Return a domain in ASCII, each label that needs it as Punycode (RFC 3490, as Python's codec and Django do it).

    Raises:
        UnicodeError: a label is empty or too long, or holds what no domain may.
    """
    return domain.encode("idna").decode("ascii")


def sanitize_address(addr: Any, encoding: str | Charset | None) -> str:
    """Format an address for a header: display name per RFC 2047, domain per IDNA.

    Args:
        addr: "name <local@domain>", "local@domain", or a tuple of display name and addr-spec.
        encoding: charset of encoded words.

    Returns:
        ASCII text, which may be folded inside the display name.

    Raises:
        InvalidAddress: it is no single address.
    """
    if isinstance(addr, tuple):
        name, spec = addr
        if "@" not in spec:
            raise InvalidAddress(f"invalid address {_shown(spec)}: expected local@domain")
        local, _, domain = spec.rpartition("@")
    else:
        name, local, domain = _parse(str(addr))
    if re.search(r"[\r\n]", f"{name}{local}{domain}"):
        raise InvalidAddress("invalid address: a line break stands in it; expected one line")
    shown_local = local if local.isascii() else Header(local, encoding).encode()
    shown_name = Header(name, None if name.isascii() else encoding).encode()
    try:
        spec = Address(username=shown_local, domain=idna(domain)).addr_spec
    except (UnicodeError, HeaderParseError, ValueError) as error:
        raise InvalidAddress(
            f"invalid address {_shown(f'{local}@{domain}')}: expected local@domain whose domain can be written in ASCII "
            f"({type(error).__name__})"
        ) from None
    return formataddr((shown_name, spec))


def _parse(text: str) -> tuple[str, str, str]:
    """Take one mailbox apart (RFC 5322 §3.4): display name, local part without its quotes, domain or ""."""
    try:
        token, rest = parser.get_mailbox(text)
        name, local, domain = token.display_name or "", token.local_part, token.domain or ""
    except _PARSER_ERRORS:
        # `from None`, here and below: the parser's own words hold the address.
        raise InvalidAddress(f"invalid address {_shown(text)}: expected local@domain, or name <local@domain>") from None
    if rest:
        raise InvalidAddress(
            f"invalid address {_shown(text)}: only {_shown(str(token))} of it is one; give each recipient an entry of its own"
        )
    if not local or (re.search(r"\s", local) and '"' not in text):
        # "<>" has none, and the parser reads `Ann ann@x.org`, which lacks its brackets, as the local part "Ann ann".
        raise InvalidAddress(f"invalid address {_shown(text)}: expected local@domain, or name <local@domain>")
    return name, local, domain


def envelope_address(addr: Any) -> str:
    """Return the bare addr-spec for MAIL or RCPT (RFC 5321 §4.1.2), domain in IDNA.

    Args:
        addr: as in `sanitize_address`. A local part alone ("postmaster") is let through for the relay to complete.

    Raises:
        InvalidAddress: it is no single address, is too long, or holds what could end the command.
    """
    text = str(addr[1] if isinstance(addr, tuple) else addr)
    return _kept(text) if len(text) <= _MAX_KEPT else _bare(text)


def at_sight(text: str) -> tuple[str, str] | None:
    """Return local part and domain of one plain address, with or without a name, that stands in a header as it is.

    Returns:
        None if it is another one, or none at all: `envelope_address` tells. A lookup of 1 us, for whoever reads millions.
    """
    found = _AT_SIGHT.fullmatch(text)
    if found is None:
        return None
    local, domain = found[1] or found[3], found[2] or found[4]
    return (local, domain) if len(local) <= MAX_LOCAL_PART and len(domain) <= MAX_DOMAIN else None


def _bare(text: str) -> str:
    if len(text) > MAX_ADDRESS_TEXT:
        raise InvalidAddress(f"invalid address of {len(text)} characters: {MAX_ADDRESS_TEXT} are the most")
    simple = _SIMPLE.fullmatch(text)
    if simple:
        local, domain = simple[1] or simple[3] or simple[5], simple[2] or simple[4] or simple[6]
        if len(local) <= MAX_LOCAL_PART and len(domain) <= MAX_DOMAIN:
            return f"{local}@{domain}"
    if _CONTROL.search(text):
        raise InvalidAddress(f"invalid address {_shown(text)}: a control character stands in it; expected none")
    _, local, domain = _parse(text)
    if domain not in text or (local not in text and '"' not in text) or (not domain and "@" in text):
        # The parser drops comments and any Unicode space in the middle, and what is left is another address.
        raise InvalidAddress(
            f"invalid address {_shown(text)}: expected local@domain, without spaces and comments inside"
        )
    return _addr_spec(local, domain)


#: A mail's recipients are looked at when it is prepared and again when it is sent, and its sender is the one before's.
#: A plain address takes 1 us and another one up to 300; what was read before takes 0.1.
_kept = lru_cache(maxsize=512)(_bare)


def _addr_spec(local: str, domain: str) -> str:
    """Put the two halves together if an SMTP command can carry them."""
    if not local or _CONTROL.search(local):
        raise InvalidAddress(
            f"invalid address {_shown(f'{local}@{domain}')}: its local part is empty or holds a control character"
        )
    if not _DOT_ATOM.fullmatch(local) and (local.isascii() or _NOT_IN_ATOM.search(local)):
        local = '"{}"'.format(re.sub(r'(["\\])', r"\\\1", local))
    if len(local.encode()) > MAX_LOCAL_PART:
        raise InvalidAddress(f"invalid address: its local part is over {MAX_LOCAL_PART} octets (RFC 5321 §4.5.3.1.1)")
    if not domain:
        return local
    if len(domain) > MAX_DOMAIN:
        raise InvalidAddress(f"invalid address: its domain is over {MAX_DOMAIN} octets (RFC 5321 §4.5.3.1.2)")
    try:
        ascii_domain = idna(domain)
    except UnicodeError as error:
        raise InvalidAddress(f"invalid address: {domain!r} is no domain: {error}") from error
    if not (_DOMAIN_NAME.fullmatch(ascii_domain) or _DOMAIN_LITERAL.fullmatch(ascii_domain)):
        raise InvalidAddress(
            f"invalid address: {domain!r} is no domain; expected labels of letters, digits and hyphens"
        )
    if len(ascii_domain) > MAX_DOMAIN:
        raise InvalidAddress(f"invalid address: its domain is over {MAX_DOMAIN} octets (RFC 5321 §4.5.3.1.2)")
    return f"{local}@{ascii_domain}"


def envelope_addresses(addr: Any) -> list[str]:
    """Return the bare addresses of one entry: one, or the members of an RFC 5322 group ("undisclosed:;" has none).

    Raises:
        InvalidAddress: it is neither an address nor a group.
    """
    if isinstance(addr, tuple) or ":" not in (text := str(addr)) or not _GROUP.fullmatch(text):
        return [envelope_address(addr)]
    if len(text) > MAX_ADDRESS_TEXT or _CONTROL.search(text):
        raise InvalidAddress("invalid address group: too long, or a control character stands in it")
    try:
        token, rest = parser.get_group(text)
        members = [str(box) for box in token.mailboxes]
        is_whole = not rest.strip() and len(members) == len(token.all_mailboxes)
    except _PARSER_ERRORS:
        return [envelope_address(addr)]
    if not is_whole:
        raise InvalidAddress(f"invalid address group {_shown(text)}: expected name: local@domain, local@domain;")
    return [envelope_address(member) for member in members]


def envelope_recipients(message: HasRecipients) -> list[str]:
    """Return the bare addresses that a message goes to, each once, in order; blank ones are dropped.

    Two addresses are the same if they are equal but for the letter case of the domain (RFC 5321 §2.4).

    Raises:
        InvalidAddress: one of them is no address.
    """
    seen: dict[str, str] = {}
    for recipient in message.recipients():
        for bare in () if _is_blank(recipient) else envelope_addresses(recipient):
            seen.setdefault(_folded(bare), bare)
    return list(seen.values())


def envelope_sender(message: Any) -> str:
    """Return the bare address for MAIL FROM: the message's `from_email`; "" for the null reverse-path "<>".

    Raises:
        InvalidAddress: it is no address.
    """
    sender = message.from_email
    return "" if not isinstance(sender, tuple) and str(sender).strip() == "<>" else envelope_address(sender)


def recipient_keys(message: HasRecipients) -> list[str]:
    """Return what `message.outcomes` is keyed by: bare addresses, and as it is what is none; blank ones are dropped. Never raises for one."""
    keys: dict[str, str] = {}
    for recipient in message.recipients():
        if _is_blank(recipient):
            continue
        try:
            bares = envelope_addresses(recipient)
        except InvalidAddress:
            bares = [str(recipient)]
        for bare in bares:
            keys.setdefault(_folded(bare), bare)
    return list(keys.values())


def domain_of(addr: Any) -> str | None:
    """Return the domain of an address in ASCII, or None if it has none that a Message-ID could end with."""
    try:
        _, found, domain = envelope_address(addr).rpartition("@")
    except InvalidAddress:
        return None
    return domain if found else None


def _is_blank(recipient: Any) -> bool:
    return not isinstance(recipient, tuple) and not str(recipient).strip()


def _shown(text: str) -> str:
    """Quote what was given as an address, each local part cut short: an error may end in a log (DESIGN §1)."""
    return repr(_LOCAL_PART.sub(r"\1\2…@", text))


def _folded(bare: str) -> str:
    if bare.islower():
        return bare
    local, at, domain = bare.rpartition("@")
    return f"{local}{at}{domain.lower()}"
