"""Is a Redis fit for mail? Recent enough, never throwing anything out, and keeping it on disk.

Judged by what it says of itself (INFO, CONFIG GET), and by what lies in it: mail, or wake-ups alone, which nobody misses for more
than a second. What its user may not ask, as at hosted servers, is said and is no failure. For the spool and for the broker alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from mailworker.cli import finding

if TYPE_CHECKING:
    from redis import Redis

    from mailworker.cli.finding import Finding

#: What the spool's scripts need; the task carrier works with older ones.
_MIN_REDIS = (6, 2)

#: Settings of the server that INFO does not tell.
_ASKED = ("save", "appendfsync")


class Cargo(Enum):
    """What lies in it."""

    SPOOL = auto()  #: the spool
    TASKS = auto()  #: tasks that carry mail
    WAKE_UPS = auto()  #: tasks that carry nothing


@dataclass(frozen=True, slots=True)
class About:
    """What a Redis says of itself.

    Attributes:
        info: INFO; empty where its user may not ask.
        config: those of its settings that INFO does not tell; empty where its user may not ask.
    """

    info: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return which server it is, and its version."""
        return f"{self._kind} {self._version or 'of unknown version'}"

    @property
    def run_id(self) -> str | None:
        """Return what tells this server, since its start, from all others."""
        found = self.info.get("run_id")
        return str(found) if found else None

    @property
    def is_old(self) -> bool:
        """Tell whether it is certainly too old for the spool."""
        numbers = tuple(int(piece) for piece in self._version.split(".")[:2] if piece.isdecimal())
        return self._kind == "Redis" and bool(numbers) and numbers < _MIN_REDIS

    @property
    def _kind(self) -> str:
        return "Valkey" if "valkey_version" in self.info else "Redis"

    @property
    def _version(self) -> str:
        return str(self.info.get("valkey_version") or self.info.get("redis_version") or "")


def ask(client: Redis | Any) -> About:
    """Let a Redis tell of itself.

    Args:
        client: speaks to it.

    Raises:
        RedisError: it cannot be reached.
    """
    from redis.exceptions import ResponseError

    info: Mapping[str, Any] = {}
    config: dict[str, str] = {}
    with suppress(ResponseError):
        info = client.info()
    with suppress(ResponseError):
        for name in _ASKED:
            config |= {str(key): str(value) for key, value in client.config_get(name).items()}
    return About(info, config)


def look(part: str, about: About, cargo: Cargo, replicas: int = 0) -> Iterator[Finding]:
    """Judge what a Redis said of itself.

    Args:
        part: what it is here, "spool" or "broker".
        about: what it said.
        cargo: what lies in it.
        replicas: how many have to have a mail before it counts as accepted.
    """
    if about.info.get("role") in ("slave", "replica"):
        yield finding.error(part, "it is a replica, which takes no writes", "name its primary")
    if cargo is Cargo.WAKE_UPS:
        yield finding.ok(part, "carries wake-ups only: what it loses of them costs a second, and no mail")
        return
    if about.is_old:
        make = finding.error if cargo is Cargo.SPOOL else finding.warning
        wanted = ".".join(map(str, _MIN_REDIS))
        yield make(part, f"{about.name} is too old for the spool", f"use Redis {wanted} or later, or Valkey")
    if not about.info:
        text = "its user may not run INFO, so its version, maxmemory-policy and persistence are not known"
        yield finding.notice(part, text, "see that it evicts nothing and keeps mail on disk, or allow INFO")
    else:
        yield from _eviction(part, about)
        yield from _persistence(part, about)
    if replicas and "connected_slaves" in about.info:
        yield _replicas(part, int(about.info["connected_slaves"]), replicas)


def _eviction(part: str, about: About) -> Iterator[Finding]:
    policy = about.info.get("maxmemory_policy")
    if policy is None or policy == "noeviction":
        return
    if not str(policy).startswith("allkeys"):
        text = f"its maxmemory-policy is {policy}: it throws away keys with an expiry, which queued mail has not"
        yield finding.notice(part, text, "noeviction says the same more clearly")
        return
    advice = "set maxmemory-policy to noeviction"
    if int(about.info.get("maxmemory") or 0):
        yield finding.error(part, f"its maxmemory-policy is {policy}: it may throw queued mail away", advice)
    else:
        text = f"its maxmemory-policy is {policy}: it would throw queued mail away if it had a maxmemory"
        yield finding.warning(part, text, advice)


def _persistence(part: str, about: About) -> Iterator[Finding]:
    if "aof_enabled" not in about.info:
        return
    if int(about.info["aof_enabled"]):
        yield _append_only(part, about.config.get("appendfsync"))
    elif "save" not in about.config:
        text = "appendonly is off, and its user may not ask (CONFIG GET) whether it takes snapshots"
        yield finding.notice(part, text, "see that it keeps mail on disk: set appendonly to yes")
    elif about.config["save"].strip():
        text = "it takes snapshots: a crash loses what was queued since the last one"
        yield finding.warning(part, text, "set appendonly to yes")
    else:
        text = "it keeps nothing on disk: a restart loses what is queued"
        yield finding.warning(part, text, "set appendonly to yes")


def _append_only(part: str, fsync: str | None) -> Finding:
    match fsync:
        case "always":
            return finding.ok(part, "keeps mail on disk: appendonly, appendfsync always")
        case "everysec":
            text = "keeps mail on disk, appendfsync everysec: a crash of its machine may lose the last second"
            return finding.notice(part, text, "appendfsync always loses nothing, and is slower")
        case None:
            return finding.notice(part, "keeps mail on disk (appendonly); its user may not ask how often it is written")
        case _:
            text = f"keeps mail on disk, appendfsync {fsync}: a crash of its machine loses what was not written yet"
            return finding.warning(part, text, "set appendfsync to everysec or always")


def _replicas(part: str, connected: int, wanted: int) -> Finding:
    if connected >= wanted:
        return finding.ok(part, f"{connected} connected replica(s), MAILWORKER_WAIT_REPLICAS asks for {wanted}")
    return finding.error(
        part,
        f"{connected} connected replica(s), MAILWORKER_WAIT_REPLICAS asks for {wanted}: it would accept no mail",
        "connect more of them, or ask for fewer",
    )
