"""The spool's URL: which forms it has, and what each says about servers, login, database and TLS.

A Redis alone, over TLS or a Unix socket, a service that Sentinels watch, and a Redis Cluster are told here; reaching them is
`spool.server`'s. A URL that cannot be read is never repeated: who forgot to percent-encode a password has it in the host or
the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from mailworker.settings.number import Flag
from mailworker.settings.rule import NOT_SET, BadValue, Rule, has_control
from mailworker.settings.url import ENCODE, alternatives, safe_url, unknown_scheme

#: Scheme -> the one that it is another name for.
_ALIASES = {"valkey": "redis", "valkeys": "rediss", "redis+socket": "unix"}

#: Scheme -> the port where none is given; a Unix socket has none.
_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "unix": 0}

_SCHEMES = (*_PORTS, *_ALIASES)

#: Options that redis-py's connections take for TLS, by the names that its URLs and Celery's have for them.
_TLS_TEXTS = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ciphers"})

_TLS = _TLS_TEXTS | {"ssl_cert_reqs", "ssl_check_hostname"}

#: Everything else that may stand behind the question mark. `virtual_host` is kombu's word for the database.
_PARAMETERS = frozenset({"db", "virtual_host", "username", "password"})

_OF_SENTINEL = frozenset({"master_name", "sentinel_username", "sentinel_password", "ssl"})

#: One server of a row; an IPv6 address stands in brackets.
_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]*)(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class SpoolServers:
    """What a spool's URL says.

    Attributes:
        hosts: (host, port) of the Redis, of some nodes of the cluster, or of the Sentinels; empty for a Unix socket.
        path: of the Unix socket, or empty.
        service: what the Sentinels call the Redis they watch; empty where there are none.
        database: its number.
        username: at the Redis.
        password: at the Redis.
        sentinel_username: at the Sentinels.
        sentinel_password: at the Sentinels.
        tls: redis-py's `ssl_*` options; None = no TLS.
    """

    hosts: tuple[tuple[str, int], ...]
    path: str = ""
    service: str = ""
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)


@dataclass(frozen=True)
class SpoolUrl(Rule):
    """A Redis for the spool; None = the broker's if that is one; empty = no spool, mails travel inside the tasks."""

    expected: ClassVar[str] = "a Redis URL such as redis://:password@host:6379/1, or empty for no spool"
    example = "redis://127.0.0.1:6379/0"
    is_secret: ClassVar[bool] = True
    keeps_empty: ClassVar[bool] = True

    def parse(self, value: Any) -> SecretStr | None:
        """Take the URL of a Redis, an empty text or None, and hide it."""
        if value is None:
            return None
        secret = value.get_secret_value() if isinstance(value, SecretStr) else value
        if secret == "":
            return SecretStr("")
        if not isinstance(secret, str) or has_control(secret) or " " in secret:
            raise BadValue
        parse_spool_url(secret, strict=True)
        return SecretStr(secret)

    def show(self, value: Any) -> str:
        """Return the URL without its password, or "empty"."""
        if value is None:
            return NOT_SET
        return safe_url(value.get_secret_value()) or "empty"


def spool_url_for(broker_url: str) -> str | None:
    """Return the URL of the spool that a broker's URL implies, or None if that broker is no Redis, or one behind Sentinels.

    Which service Sentinels watch stands in Celery's transport options, not in its URL.
    """
    first = alternatives(broker_url)[0]
    scheme, _, rest = first.partition("://")
    if scheme.lower() in ("redis", "rediss"):
        return first
    return f"unix://{rest}" if scheme.lower() == "redis+socket" else None


def parse_spool_url(url: str, *, strict: bool = False) -> SpoolServers:
    """Read a spool's URL.

    Several servers stand in one URL with commas between them, or as URLs that differ in nothing else with semicolons
    between, as kombu writes Sentinels: ``sentinel://a:26379,b:26379/service/0``, ``sentinel://a/service;sentinel://b``.

    Args:
        url: the URL.
        strict: refuse a parameter that is not known; the URL of a broker may have others, which mean nothing here.

    Raises:
        BadValue: it is no such URL; no part of it is repeated.
    """
    read = [_read(part) for part in alternatives(url)]
    scheme, _, login, path, given = read[0]
    for other in read[1:]:
        # What a further one leaves out is as in the first.
        same = ((other[0], scheme), (other[2] or login, login), (other[3] or path, path), (other[4] or given, given))
        if any(its != first for its, first in same):
            raise BadValue("has URLs between its semicolons that differ in more than the host: say the rest only once")
    hosts = tuple(host for each in read for host in each[1])
    return _servers(scheme, hosts, login, path, _known(scheme, given, strict=strict))


def _read(url: str) -> tuple[str, tuple[tuple[str, int], ...], str, str, dict[str, str]]:
    """Return scheme, hosts, login, path and parameters of one URL."""
    named, found, _ = url.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+._-]*", named):
        raise BadValue
    scheme = _ALIASES.get(named.lower(), named.lower())
    if scheme not in _PORTS:
        raise BadValue(unknown_scheme(named.lower(), _SCHEMES, "a Redis; empty means no spool"))
    unreadable = BadValue(f"cannot be read as {named.lower()}://user:password@host:port/...: {ENCODE}")
    try:
        parts = urlsplit(f"http{url[len(named) :]}")
        given = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:  # its text repeats a piece of the URL, which may be a piece of a password
        raise unreadable from None
    if parts.fragment or "@" in parts.path + parts.query:
        raise unreadable
    login, _, row = parts.netloc.rpartition("@")
    if scheme == "unix":
        if row or not parts.path.strip("/"):
            raise BadValue("needs a path with three slashes: write unix:///run/redis.sock?db=0")
        return scheme, (), login, unquote(parts.path), _once(given)
    hosts: list[tuple[str, int]] = []
    for one in row.split(","):
        server = _SERVER.fullmatch(one)
        host = unquote(server["host"]).strip("[]") if server else ""
        port = int((server and server["port"]) or _PORTS[scheme])
        if server is None or not 0 < port < 65536 or not (_is_name(host) if host else row.count(",") == 0):
            raise BadValue(f"has a host or port that cannot be read: {ENCODE}, and IPv6 addresses go into brackets")
        hosts.append((host or "localhost", port))
    return scheme, tuple(hosts), login, unquote(parts.path).strip("/"), _once(given)


def _is_name(host: str) -> bool:
    """Tell whether the system can be asked for a host: its resolver breaks over labels that are empty or too long."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _once(given: list[tuple[str, str]]) -> dict[str, str]:
    parameters = dict(given)
    if len(parameters) < len(given):
        raise BadValue("has a parameter twice behind its question mark: keep one")
    return parameters


def _known(scheme: str, given: Mapping[str, str], *, strict: bool) -> dict[str, str]:
    """Return the parameters that mean something in a URL of this scheme."""
    known = _PARAMETERS | (_OF_SENTINEL if scheme == "sentinel" else frozenset())
    if scheme == "rediss" or (scheme == "sentinel" and "ssl" in given):
        known |= _TLS
    elif given.keys() & _TLS:
        write = "add ssl=1" if scheme == "sentinel" else "write rediss://"
        raise BadValue(f"has parameters for TLS, but does not speak it: {write}, or take them out")
    if strict and given.keys() - known:  # not repeated: an unquoted "?" in a password would put a piece of it here
        raise BadValue(f"has an unknown parameter behind its question mark: known are {', '.join(sorted(known))}")
    return {name: value for name, value in given.items() if name in known}


def _servers(
    scheme: str, hosts: tuple[tuple[str, int], ...], login: str, path: str, given: Mapping[str, str]
) -> SpoolServers:
    user, _, password = login.partition(":")
    database, service = path, ""
    if scheme == "unix":
        database = ""
    elif scheme == "sentinel":
        service, database = _service(path, given.get("master_name", ""))
    return SpoolServers(
        hosts,
        path=path if scheme == "unix" else "",
        service=service,
        database=_database(scheme, database or given.get("db") or given.get("virtual_host") or "0"),
        username=unquote(user) or given.get("username") or None,
        password=unquote(password) or given.get("password") or None,
        sentinel_username=given.get("sentinel_username") or None,
        sentinel_password=given.get("sentinel_password") or None,
        tls=_tls(given) if scheme == "rediss" or _flag("ssl", given.get("ssl", "0")) else None,
    )


def _service(path: str, name: str) -> tuple[str, str]:
    """Return the name of a service and the database from a path such as "service/0", or from "0" beside a name."""
    parts = path.split("/") if path else []
    if not name and parts:
        name = parts.pop(0)
    if not name or len(parts) > 1 or (name.isdecimal() and path.startswith(name)):
        raise BadValue("needs the name of the service that the Sentinels watch: write sentinel://host:26379/mymaster/0")
    return name, "".join(parts)


def _database(scheme: str, number: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", number):
        form = {"unix": "unix:///run/redis.sock?db=0", "sentinel": "sentinel://host:26379/mymaster/0"}
        raise BadValue(
            f"must end in a database number: write {form.get(scheme, f'{scheme}://host:6379/0')}, and {ENCODE}"
        )
    return int(number)


def _tls(given: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {name: value for name, value in given.items() if name in _TLS_TEXTS}
    wanted = given.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if wanted not in ("required", "optional", "none"):
        raise BadValue("has a parameter ssl_cert_reqs that is none of required, optional, none")
    options["ssl_cert_reqs"] = wanted
    options["ssl_check_hostname"] = _flag("ssl_check_hostname", given.get("ssl_check_hostname", "1"))
    return options


def _flag(name: str, value: str) -> bool:
    try:
        return Flag().parse(value)
    except BadValue:
        raise BadValue(f"has a parameter {name} that is neither true nor false: write {name}=1") from None
