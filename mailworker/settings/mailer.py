"""Mailers: a name for a backend and its options, in the shape of Django 6.1's MAILERS.

"default" and "relay" always exist: where MAILERS does not name them they are implicit, that is, built from EMAIL_BACKEND and
EMAIL_DELIVERY_BACKEND, and their backends read the other EMAIL_* names themselves. No backend is imported or built here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from mailworker.settings.backend import QUEUES, SMTP_BACKEND, BackendPath
from mailworker.settings.limit import LIMITS, MailerLimits, read_limits
from mailworker.settings.rule import HIDDEN, NOT_SET, BadValue, Rule, show_wrong

#: The mailer that is used when none is named.
DEFAULT = "default"

#: The mailer that a queue delivers with unless its option `mailer` says otherwise.
RELAY = "relay"

#: Options whose values are shown; any other may be a secret, as third-party backends name theirs as they like.
_SHOWN = frozenset(
    {
        "host",
        "port",
        "use_tls",
        "use_ssl",
        "timeout",
        "fail_silently",
        "file_path",
        "ssl_certfile",
        "ssl_keyfile",
        "mailer",
    }
)

_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Options(Mapping[str, Any]):
    """A mailer's options: read-only, and shown without what may be a secret."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr({name: value if name in _SHOWN else HIDDEN for name, value in self._values.items()})


@dataclass(frozen=True, slots=True)
class Mailer:
    """A named way to get rid of messages.

    Attributes:
        alias: its name.
        backend: dotted path of the backend's class.
        options: keyword arguments for the backend.
        is_implicit: built from the EMAIL_* names; its backend gets no alias and no options, and reads them itself.
        limits: what it allows over all workers together; no options of the backend.
    """

    alias: str
    backend: str
    options: Options = field(default_factory=Options, hash=False)
    is_implicit: bool = False
    limits: MailerLimits = field(default_factory=MailerLimits)

    @property
    def is_queue(self) -> bool:
        """True if its backend is the queue."""
        return self.backend in QUEUES

    @property
    def delivers_with(self) -> str:
        """The alias of the mailer that the worker uses for what is sent with this one."""
        return str(self.options.get("mailer", RELAY)) if self.is_queue else self.alias


@dataclass(frozen=True)
class MailerTable(Rule):
    """MAILERS: alias -> {"BACKEND": path, "OPTIONS": {...}}; in the environment as JSON."""

    expected: ClassVar[str] = (
        'a dict of mailers, alias -> {"BACKEND": path, "OPTIONS": {...}}; in the environment as JSON'
    )
    example: str = '{"relay": {"OPTIONS": {"host": "smtp.example.com"}}}'
    is_secret: ClassVar[bool] = True

    def parse(self, value: Any) -> Mapping[str, Mailer]:
        """Read the entries, and find all that is wrong with them at once."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError as error:  # its text repeats nothing of what it read
                raise BadValue(f"is no JSON ({error.msg} in column {error.colno} of line {error.lineno})") from None
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
                raise BadValue(f"is no JSON that can be read ({type(error).__name__})") from None
        if not isinstance(value, Mapping):
            raise BadValue
        mailers: dict[str, Mailer] = {}
        reasons: list[str] = []
        for alias, entry in value.items():
            try:
                mailers[alias] = entry if isinstance(entry, Mailer) else _mailer(alias, entry)
            except BadValue as problem:
                reasons.extend(problem.reasons)
        if reasons:
            raise BadValue(*reasons)
        return MappingProxyType(mailers)

    def show(self, value: Any) -> str:
        """Return aliases and backends; options may hold secrets."""
        return ", ".join(f"{mailer.alias}: {mailer.backend}" for mailer in value.values()) or NOT_SET


def mailers_of(
    table: Mapping[str, Mailer], backend: str, delivery_backend: str, outranked: Collection[str] = ()
) -> Mapping[str, Mailer]:
    """Return all mailers, "default" and "relay" among them.

    Args:
        table: the entries of MAILERS.
        backend: EMAIL_BACKEND.
        delivery_backend: EMAIL_DELIVERY_BACKEND.
        outranked: aliases whose entry does not count, because a source before that of MAILERS describes them by names.
    """
    implicit = {
        DEFAULT: Mailer(DEFAULT, backend, is_implicit=True),
        RELAY: Mailer(RELAY, delivery_backend, is_implicit=True),
    }
    return MappingProxyType(implicit | {alias: mailer for alias, mailer in table.items() if alias not in outranked})


def _mailer(alias: Any, entry: Any) -> Mailer:
    if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
        raise BadValue(
            f"has the alias {show_wrong(alias)}, but an alias is 1 to 64 letters, digits, dots, underscores or hyphens"
        )
    where = f"has an entry {alias!r}"
    if not isinstance(entry, Mapping):
        raise BadValue(f'{where} that is no dict: write {{"BACKEND": "{SMTP_BACKEND}", "OPTIONS": {{...}}}}')
    reasons = [
        f"{where} with the unknown key {show_wrong(key)}, but an entry has BACKEND and OPTIONS; "
        "put what belongs to the backend into OPTIONS"
        for key in entry
        if key not in ("BACKEND", "OPTIONS")
    ]
    backend = entry.get("BACKEND", SMTP_BACKEND)
    try:
        backend = BackendPath().parse(backend)
    except BadValue as problem:
        said = problem.reasons[0] if problem.reasons else "is not the dotted path of a backend class"
        reasons.append(f"{where} whose BACKEND {said}")
    options = entry.get("OPTIONS", {})
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        reasons.append(f"{where} whose OPTIONS are no dict with names as keys")
        options = {}
    if "alias" in options:
        reasons.append(f"{where} with the option alias, which is given to the backend anyway: take it out")
    limits = MailerLimits()
    if backend in QUEUES:
        reasons += [
            f"{where} with the option {name}, but it is a queue: put {name} on the mailer that delivers"
            for name in LIMITS
            if name in options
        ]
    else:
        try:
            limits = read_limits(options)
        except BadValue as problem:
            reasons += [f"{where} {reason}" for reason in problem.reasons]
    if backend in QUEUES and not isinstance(options.get("mailer", RELAY), str):
        reasons.append(
            f"{where} whose option mailer is no text: write the alias of the mailer that the worker delivers with"
        )
    if reasons:
        raise BadValue(*reasons)
    kept = {name: value for name, value in options.items() if name not in LIMITS}
    return Mailer(alias, backend, Options(kept), limits=limits)
