"""What one mailer allows over all workers together: the options `rate`, `burst`, `sessions`, `domain_rate` and
`domain_concurrency`.

Here they are only read and checked; the spool keeps them, and whether there is one to keep them is for others to ask.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mailworker.settings.rule import BadValue, show_wrong

#: The options by their names.
LIMITS = ("rate", "burst", "sessions", "domain_rate", "domain_concurrency")

#: Seconds in what may stand behind a rate's slash.
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

_RATE = re.compile(r"\s*(?P<count>\d+(\.\d+)?)\s*(/\s*(?P<unit>s|m|min|h|d)\s*)?")

#: A domain as it stands in an envelope: RFC 5321 §4.1.2, in ASCII.
_DOMAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*")


@dataclass(frozen=True, slots=True)
class MailerLimits:
    """A mailer's limits as plain values.

    Attributes:
        rate: mails a second; None = no limit.
        burst: how many may go at once after a pause in the traffic.
        domain_rate: recipient domain in lower case -> mails a second.
        domain_concurrency: recipient domain in lower case -> mails at one time.
        sessions: open with its relay at one time; None = no limit but the number of worker slots.
    """

    rate: float | None = None
    burst: int = 1
    domain_rate: Mapping[str, float] = field(default_factory=dict, hash=False)
    domain_concurrency: Mapping[str, int] = field(default_factory=dict, hash=False)
    sessions: int | None = None

    @property
    def is_set(self) -> bool:
        """True if anything is limited."""
        return self.rate is not None or bool(self.domain_rate or self.domain_concurrency or self.sessions)


def read_limits(options: Mapping[str, Any]) -> MailerLimits:
    """Read the limits among a mailer's options.

    Raises:
        BadValue: for each that is wrong, the rest of a sentence that begins with whose options these are.
    """
    reasons: list[str] = []

    def read(name: str, parse: Callable[[Any], Any], otherwise: Any) -> Any:
        try:
            return parse(options[name]) if name in options else otherwise
        except BadValue as problem:
            reasons.extend(f"whose option {name} {reason}" for reason in problem.reasons)
            return otherwise

    limits = MailerLimits(
        rate=read("rate", read_rate, None),
        burst=read("burst", _count, 1),
        domain_rate=read("domain_rate", lambda value: _each_domain(value, read_rate, '"14/s"'), {}),
        domain_concurrency=read("domain_concurrency", lambda value: _each_domain(value, _count, "2"), {}),
        sessions=read("sessions", _count, None),
    )
    if reasons:
        raise BadValue(*reasons)
    return limits


def read_rate(value: Any) -> float:
    """Return mails a second.

    Args:
        value: their number, or text such as "14/s", "100/min", "5000/h".

    Raises:
        BadValue: it is neither; the rest of a sentence that begins with whose rate it is.
    """
    if isinstance(value, str):
        found = _RATE.fullmatch(value)
        rate = float(found["count"]) / _UNITS[found["unit"] or "s"] if found else 0.0
    else:
        rate = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
    try:
        rate = float(rate)
    except OverflowError:
        rate = math.inf
    if not 0 < rate < math.inf:
        raise BadValue(
            f"is {show_wrong(value)}, but must be a number of mails a second, more than 0, or mails in a time: "
            'write for instance "14/s", "100/min" or "5000/h"'
        )
    return rate


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadValue(f"is {show_wrong(value)}, but must be a whole number, 1 or more")
    return value


def _each_domain(value: Any, parse: Callable[[Any], Any], example: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadValue(f'is {show_wrong(value)}, but must be a dict: write for instance {{"example.com": {example}}}')
    limits: dict[str, Any] = {}
    reasons: list[str] = []
    for domain, limit in value.items():
        if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
            reasons.append(
                f"has the key {show_wrong(domain)}, but must have domains as they stand behind the @: write for "
                "instance example.com, and xn--... where it is not ASCII"
            )
            continue
        if domain.lower() in limits:
            reasons.append(f"has {domain.lower()} twice: keep one")
        try:
            limits[domain.lower()] = parse(limit)
        except BadValue as problem:
            reasons.extend(f"for {domain} {reason}" for reason in problem.reasons)
    if reasons:
        raise BadValue(*reasons)
    return limits
