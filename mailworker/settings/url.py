"""URLs in settings: EMAIL_URL and the broker's, and how a URL is shown without its password.

EMAIL_URL describes the relay, that is, what the worker delivers with: `console:` makes the worker print, and the queue
stays in front (EMAIL_BACKEND takes the queue away). Nothing is connected to here. A URL that cannot be read is never
repeated: who forgot to percent-encode a password has it in the host or the path.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from mailworker.settings.backend import backend_path
from mailworker.settings.number import Flag
from mailworker.settings.rule import HIDDEN, NOT_SET, BadValue, Rule, has_control
from mailworker.settings.text import Host

#: The transports of kombu 5.7 by their scheme. It takes no others: a dotted one would let a URL import any module.
BROKER_SCHEMES = frozenset(
    {
        "amqp",
        "amqps",
        "azureservicebus",
        "azurestoragequeues",
        "confluentkafka",
        "consul",
        "etcd",
        "filesystem",
        "gcpubsub",
        "kafka",
        "librabbitmq",
        "memory",
        "mongodb",
        "pgmq",
        "pyamqp",
        "pyro",
        "qpid",
        "redis",
        "rediss",
        "sentinel",
        "slmq",
        "sqla",
        "sqlalchemy",
        "sqs",
        "zookeeper",
    }
)

#: Schemes whose URLs are user:password@host:port/path; the other transports have forms of their own, left to them.
_SERVER_SCHEMES = frozenset({"amqp", "amqps", "librabbitmq", "pyamqp", "redis", "rediss", "sentinel"})

#: Schemes of EMAIL_URL that speak SMTP -> (STARTTLS, TLS from the first byte, port when none is given: RFC 8314 §3.3).
_SMTP = {"smtp": (False, False, 25), "smtp+tls": (True, False, 587), "smtps": (False, True, 465)}

_LOCAL = ("console", "file", "locmem", "dummy")

#: What may stand behind the question mark of EMAIL_URL -> the name that it sets.
_PARAMETERS = {
    "tls": "EMAIL_USE_TLS",
    "ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "certfile": "EMAIL_SSL_CERTFILE",
    "keyfile": "EMAIL_SSL_KEYFILE",
}

_SECRET_PARAMETER = re.compile(r"pass|pwd|secret|token|key|cred|auth|sig", re.IGNORECASE)

#: The beginning of a URL that is surely no piece of a password.
_BEGINNING = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(console|file|locmem|dummy):")

#: Host and port behind the user and password; some Pythons let pass what stands between "]" and ":".
_SERVER = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")

#: What mends most URLs that cannot be read.
ENCODE = "percent-encode :, /, ?, # and @ in the user name and password (%3A, %2F, %3F, %23, %40)"


@dataclass(frozen=True)
class EmailUrl(Rule):
    """The relay in one URL, or None."""

    expected: ClassVar[str] = "a URL such as smtp://user:password@host:587/?tls=1, smtps://host, console:, file:///path"
    example = "smtp://user:password@smtp.example.com:587/?tls=1"
    is_secret: ClassVar[bool] = True

    def parse(self, value: Any) -> SecretStr | None:
        """Take a URL that describes a relay, and hide it."""
        if value is None:
            return None
        secret = _text(value)
        parse_email_url(secret)
        return SecretStr(secret)

    def show(self, value: Any) -> str:
        """Return the URL without its password."""
        return NOT_SET if value is None else safe_url(value.get_secret_value())


@dataclass(frozen=True)
class BrokerUrl(Rule):
    """Any URL that kombu speaks, or several of them with semicolons between."""

    expected: ClassVar[str] = "a broker URL such as redis://:password@host:6379/0 or amqp://user:password@host:5672//"
    example = "redis://127.0.0.1:6379/0"
    is_secret: ClassVar[bool] = True

    def parse(self, value: Any) -> SecretStr:
        """Take URLs of schemes that kombu knows, and hide them."""
        secret = _text(value)
        for part in alternatives(secret):
            scheme = _scheme(part)
            if scheme not in BROKER_SCHEMES:
                raise BadValue(unknown_scheme(scheme, BROKER_SCHEMES, "a broker that Celery speaks"))
            _check_server(part)
        return SecretStr(secret)

    def show(self, value: Any) -> str:
        """Return the URL without its password."""
        return safe_url(value.get_secret_value())


def parse_email_url(url: str) -> dict[str, Any]:
    """Return the EMAIL_* names that a URL stands for.

    A URL of an SMTP server says everything about host, port and TLS; user, password, timeout and certificates only
    where it mentions them.

    Raises:
        BadValue: if it is no such URL; no part of it is repeated.
    """
    parts = _split(url)
    if parts.scheme in _LOCAL:
        return _local_names(parts)
    if parts.scheme not in _SMTP:
        raise BadValue(unknown_scheme(parts.scheme, (*_SMTP, *_LOCAL), "a way to deliver"))
    if parts.path not in ("", "/") or parts.fragment or not parts.hostname:
        raise BadValue(f"cannot be read as {parts.scheme}://user:password@host:port/?tls=1: {ENCODE}")
    try:
        host = Host().parse(unquote(parts.hostname))
    except BadValue:
        raise BadValue("has no proper host name: write smtp://user:password@smtp.example.com:587/?tls=1") from None
    starttls, implicit, port = _SMTP[parts.scheme]
    given = _parameters(parts.query)
    starttls = _flag("tls", given.pop("EMAIL_USE_TLS", starttls))
    implicit = _flag("ssl", given.pop("EMAIL_USE_SSL", implicit))
    if parts.port == 0:
        raise BadValue("has the port 0, but a port is from 1 to 65535")
    if parts.scheme == "smtps" and parts.port == 587:
        raise BadValue(
            "says smtps, which is TLS from the first byte, with port 587, where servers begin in plain text and "
            "upgrade: write smtp://...:587/?tls=1, or smtps://...:465"
        )
    if parts.port is None and (starttls or implicit):
        port = 465 if implicit else 587
    names: dict[str, Any] = {
        "EMAIL_DELIVERY_BACKEND": backend_path("smtp"),
        "EMAIL_HOST": host,
        "EMAIL_PORT": parts.port or port,
        "EMAIL_USE_TLS": starttls,
        "EMAIL_USE_SSL": implicit,
    }
    if parts.username:
        names["EMAIL_HOST_USER"] = unquote(parts.username)
    if parts.password is not None:
        names["EMAIL_HOST_PASSWORD"] = SecretStr(unquote(parts.password))
    return names | given


def safe_url(url: str) -> str:
    """Return a URL for a person's eyes: passwords masked; only the scheme where they cannot be told apart for sure."""
    return ";".join(_safe_part(part) for part in alternatives(url))


def _safe_part(url: str) -> str:
    if not url:
        return ""
    scheme = _BEGINNING.match(url)
    hidden = f"{scheme.group() if scheme else ''}{HIDDEN}"
    try:
        parts = _split(url, row=True)
    except BadValue:
        return hidden
    tail = unquote(f"{parts.path}?{parts.query}#{parts.fragment}")
    if "@" in tail or "://" in tail or parts.fragment:
        return hidden  # an unquoted "/", "?" or "#" in a password moves the rest of it in here
    user, at, server = parts.netloc.rpartition("@")
    if at:
        name, colon, _ = user.partition(":")
        server = f"{name}:{HIDDEN}@{server}" if colon else f"{HIDDEN}@{server}"  # a token may stand alone as the user
    query = "&".join(
        f"{name}{equals}{HIDDEN if _is_secret(name) else value}"
        for name, equals, value in (pair.partition("=") for pair in parts.query.split("&"))
    )
    slashes = "//" if "://" in url else ""
    return f"{parts.scheme}:{slashes}{server}{parts.path}{'?' if query else ''}{query}"


def _is_secret(parameter: str) -> bool:
    """Tell whether a parameter's value is a secret; `ssl_keyfile` is only where one lies."""
    name = parameter.lower()
    return bool(_SECRET_PARAMETER.search(name)) and (not name.startswith("ssl_") or "pass" in name)


def alternatives(url: str) -> list[str]:
    """Split kombu's row of failover URLs; a semicolon that no scheme follows belongs to a password."""
    parts = url.split(";")
    return parts if all("://" in part for part in parts) else [url]


def _text(value: Any) -> str:
    secret = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(secret, str) or not secret or has_control(secret) or " " in secret:
        raise BadValue
    return secret


def _split(url: str, *, row: bool = False) -> SplitResult:
    """Split a URL that names one server; with `row`, also one that names several with commas between them."""
    parts = SplitResult("", "", "", "", "")
    try:
        parts = urlsplit(url)
        servers = parts.netloc.rpartition("@")[2].split(",") if row else [parts.netloc.rpartition("@")[2]]
        readable = all(map(_SERVER.fullmatch, servers)) and (len(servers) > 1 or (parts.port or 0) >= 0)
    except ValueError:  # its text repeats a piece of the URL, which may be a piece of a password
        readable = False
    if not readable:
        raise BadValue(f"has a host or port that cannot be read: {ENCODE}, and IPv6 addresses go into brackets")
    return parts


def _scheme(url: str) -> str:
    scheme, found, _ = url.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+._-]*", scheme):
        raise BadValue
    # kombu takes "redis+socket" whole; in "sqla+sqlite" what follows the plus belongs to the transport
    return scheme.partition("+")[0].lower()


def _check_server(url: str) -> None:
    scheme, _, rest = url.partition("://")
    if _scheme(url) not in _SERVER_SCHEMES:
        return
    parts = _split(f"http://{rest}")  # kombu reads every URL by the rules of http
    if parts.fragment or "@" in parts.path + parts.query:
        raise BadValue(f"cannot be read as {scheme}://user:password@host:port/...: {ENCODE}")
    if scheme.lower() in ("redis", "rediss"):
        database = unquote(parts.path).strip("/")
        if database and not database.isdecimal():
            raise BadValue(f"must end in a database number: write {scheme}://host:6379/0, and {ENCODE}")


def _local_names(parts: SplitResult) -> dict[str, Any]:
    names: dict[str, Any] = {
        "EMAIL_DELIVERY_BACKEND": backend_path("filebased" if parts.scheme == "file" else parts.scheme)
    }
    if parts.query or parts.fragment:
        raise BadValue(f"takes nothing behind {parts.scheme}: but a path for file:, and a ? or # in one as %3F or %23")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.strip("/"):
            raise BadValue("needs a path behind file: with three slashes: write file:///var/mail/out")
        names["EMAIL_FILE_PATH"] = unquote(parts.path)
    elif parts.netloc or parts.path.strip("/"):
        raise BadValue(f"takes nothing behind {parts.scheme}: write {parts.scheme}:")
    return names


def _parameters(query: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        setting = _PARAMETERS.get(name.lower())
        if setting is None:  # not repeated: an unquoted "?" in a password would put a piece of it here
            raise BadValue(f"has an unknown parameter behind its question mark: known are {', '.join(_PARAMETERS)}")
        if setting in given:
            raise BadValue(f"has the parameter {name.lower()} twice: keep one")
        given[setting] = value
    return given


def _flag(name: str, value: Any) -> bool:
    try:
        return Flag().parse(value)
    except BadValue:
        raise BadValue(f"has a parameter {name} that is neither true nor false: write {name}=1") from None


def unknown_scheme(scheme: str, known: Iterable[str], what: str) -> str:
    """Return what is wrong with a URL's scheme.

    Args:
        scheme: what the URL begins with.
        known: the schemes that it may begin with.
        what: they name.
    """
    ordered = sorted(known)
    close = difflib.get_close_matches(scheme, ordered, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(ordered)}"
    # a scheme that is nothing like ours may be the user name of a URL without a scheme
    begins = f"begins with {scheme!r}" if close else "begins with an unknown scheme"
    return f"{begins}, but must name {what}: {hint}"
