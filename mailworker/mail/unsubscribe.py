"""Links by which a recipient gets no more mail: a signed token that names the address and the bulk, and its check (RFC 8058).

A token is signed and not encrypted: whoever has it reads the address and the bulk's name in it. The first of
MAILWORKER_UNSUBSCRIBE_KEYS signs and all of them verify, so that a key is replaced by putting a new one first; an old one may go
once nobody clicks on the mails that it has signed. A token does not end: a mail may be read years later. Whether a recipient
is off the list is the application's to keep.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mailworker import settings
from mailworker.errors import BadToken, ConfigurationError
from mailworker.settings import Settings
from mailworker.settings.unsubscribe import TOKEN

if TYPE_CHECKING:
    from itsdangerous import Signer

#: What keeps a token apart from whatever else a key may sign.
_SALT = "mailworker.unsubscribe"

#: Characters of a token at the most: an address has 320, and the name of a bulk is no novel.
_LONGEST = 4096


class Unsubscribe(NamedTuple):
    """What a token says.

    Attributes:
        address: who wants no more mail.
        bulk: name of the bulk that the mail was of; for ordinary mail its group, or "".
    """

    address: str
    bulk: str


def token(address: str, bulk: str = "") -> str:
    """Return a token for a link.

    Args:
        address: the recipient's. It can be read in the token, as can the bulk.
        bulk: name of the bulk that the mail is of.

    Returns:
        Letters, digits, "-", "_" and ".".

    Raises:
        ConfigurationError: there is no key, or itsdangerous is not installed.
    """
    signer = _signer(settings.current())
    from itsdangerous import base64_encode

    return signer.sign(base64_encode(_encode([address, bulk]))).decode("ascii")


def verify(token: str) -> Unsubscribe:
    """Return what a token says, if one of our keys has signed it.

    Args:
        token: out of the link.

    Raises:
        BadToken: it was changed, cut, or signed by another key.
        ConfigurationError: there is no key, or itsdangerous is not installed.
    """
    signer = _signer(settings.current())
    from itsdangerous import BadSignature, base64_decode, base64_encode

    # What a web framework gives for a link without a token is no text.
    if type(token) is str and len(token) <= _LONGEST and token.isascii():
        try:
            payload = signer.unsign(token)
        except BadSignature:
            payload = b""
        signature = token.rpartition(".")[2]
        # base64 has a few spellings for the same bytes: of them all, only the one that we write is a token.
        if payload and base64_encode(base64_decode(signature)) == signature.encode():
            return Unsubscribe(*json.loads(base64_decode(payload)))
    raise BadToken(
        "the unsubscribe token is not one that this application has signed: it was changed or cut on its way, or its key is no "
        "longer in MAILWORKER_UNSUBSCRIBE_KEYS"
    )


def url(template: str, address: str, bulk: str = "") -> str:
    """Return a recipient's link.

    Args:
        template: a URL with `{token}` in it.
        address: the recipient's.
        bulk: name of the bulk that the mail is of.

    Raises:
        ConfigurationError: as `token` does.
    """
    return template.replace(TOKEN, token(address, bulk))


def is_one_click(form: Mapping[str, Any]) -> bool:
    """Tell whether a POST to a link is a mail program's one click, after which nobody is asked any more (RFC 8058 §3.2).

    Args:
        form: the fields of the request's body: a dict, Django's or Werkzeug's, or what `urllib.parse.parse_qs` returns.
    """
    return form.get("List-Unsubscribe") in ("One-Click", ["One-Click"])


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_made: tuple[Settings, Signer] | None = None


def _signer(conf: Settings) -> Signer:
    global _made
    made = _made
    if made is not None and made[0] is conf:
        return made[1]
    keys = [key.get_secret_value() for key in conf.MAILWORKER_UNSUBSCRIBE_KEYS]
    if not keys:
        raise ConfigurationError(
            "MAILWORKER_UNSUBSCRIBE_KEYS is empty here, but links by which recipients unsubscribe need a key: set it to the same in "
            'producers, workers and views; a key is made with python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    try:
        from itsdangerous import Signer
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "links by which recipients unsubscribe need itsdangerous, which is not installed; run: pip install 'mailworker[bulk]'"
        ) from error
    # There, the newest key stands last.
    signer = Signer(keys[::-1], salt=_SALT, digest_method=hashlib.sha256)
    _made = (conf, signer)
    return signer
