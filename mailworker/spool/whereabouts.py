"""Which server holds the spool now, and what a failure on the way there means.

The URL may name one Redis, some nodes of a Redis Cluster, or Sentinels (`settings.spool_url`). All keys of a spool share a
slot, so that one primary holds it; it is found when first needed, and anew when it refuses or is gone. Connections are opened
and spoken over by whoever looks for it (`Way`), in a thread or on an event loop.

Known limit: Sentinels that still name a primary that was cut off from them lead to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisError, ResponseError

from mailworker.deadline import left, within
from mailworker.errors import ConfigurationError
from mailworker.refusal import code, is_refused_reply, reason
from mailworker.settings import SpoolServers, parse_spool_url
from mailworker.settings.rule import BadValue

#: Host and port, or the path of a Unix socket and 0.
Address = tuple[str, int]

#: Replies that say that this is not, or no longer, the primary of the keys.
_ELSEWHERE = frozenset({"ASK", "MASTERDOWN", "MOVED", "READONLY"})

#: Where Redis 7 says that a script failed; the words around it may hold what the script was given.
_SCRIPT_LINE = re.compile(r"user_script:\s?(\d+)")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call could not be made; `again`: it was not made, and might be elsewhere; at `ask`, if that is known."""

    text: str
    maybe_done: bool = False
    again: bool = False
    ask: Address | None = None


class Reached(Protocol):
    """A connection that is open."""

    @property
    def address(self) -> Address:
        """Where it leads."""
        ...

    @property
    def mode(self) -> str:
        """What the server says it is, "standalone" or "cluster"; empty if it does not say."""
        ...


L = TypeVar("L", bound=Reached)


class Way(Protocol[L]):
    """Opens connections and speaks over them; what fails is redis-py's error, or the system's."""

    async def open(self, address: Address, *, is_sentinel: bool = False) -> L:
        """Connect and log in."""
        ...

    async def ask(self, line: L, *words: str) -> Any:
        """Send one command and return its answer."""
        ...

    def close(self, line: L) -> None:
        """Close a connection."""


class Lost(Exception):  # noqa: N818 - an answer, on its way to who asked
    """Raised when somebody answers, and does not say where the primary is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Whereabouts:
    """Knows where the primary is, as far as anybody has said.

    Args:
        to: what the URL says.
        slot_key: any of the spool's keys: in a cluster it tells which node holds them.
        turned: called when what was taken for the primary is it no more.

    Attributes:
        primary: None = it has to be found.
    """

    def __init__(self, to: SpoolServers, slot_key: str, turned: Callable[[], None]) -> None:
        self._to = to
        self._slot = key_slot(slot_key.encode())
        self._turned = turned
        self._sentinels = list(to.hosts)
        self._nodes: list[Address] = [] if to.service else list(to.hosts)
        self.primary: Address | None = None

    async def find(self, way: Way[L]) -> L:
        """Return a connection to the primary, found anew.

        Raises:
            RedisError: it cannot be reached.
            OSError: the same.
            Lost: nobody says where it is.
        """
        if self._to.service:
            line = await way.open(await self._ask_sentinels(way))
        else:
            line = await self._ask_nodes(way)
        self.primary = line.address
        return line

    def unreached(self, error: RedisError | OSError, tried: Address | None) -> Failure:
        """Judge why nobody could be spoken to.

        Args:
            error: what was raised.
            tried: what was taken for the primary; None = it was looked for, or another was tried.
        """
        if tried is not None:
            self._doubt(tried)
        # Where it was found a moment ago, it is not looked for again.
        return Failure(reason(error), again=tried is not None and self._has_others())

    def failed(self, at: Address, error: RedisError | OSError, *, has_sent: bool, answered: int) -> Failure:
        """Judge what a call raised, and forget the primary where it may be another one.

        Args:
            at: where the connection leads.
            error: what was raised.
            has_sent: something had been written.
            answered: replies that were no errors, but for those to what changes no key.
        """
        in_vain = not has_sent or (is_refused_reply(error) and not answered)
        elsewhere = code(error) in _ELSEWHERE
        ask = None
        if isinstance(error, AskError) and not isinstance(error, MovedError):
            ask = _address(error.host, error.port, at)
        elif isinstance(error, MovedError):
            holder = _address(error.host, error.port, at)
            self._nodes = list(dict.fromkeys([*self._nodes, holder]))
            self._turn_to(holder)
        elif elsewhere or not isinstance(error, ResponseError):
            self._doubt(at)
        return Failure(_told(error), maybe_done=not in_vain, again=in_vain and elsewhere, ask=ask)

    def _has_others(self) -> bool:
        """Tell whether the primary may be another server than the one the URL leads to."""
        return bool(self._to.service) or len(self._nodes) > 1

    def _doubt(self, address: Address) -> None:
        """Find the primary anew the next time, if this is what is taken for it."""
        if self.primary == address:
            self._turn_to(None)

    def _turn_to(self, primary: Address | None) -> None:
        self.primary = primary
        self._turned()

    async def _ask_sentinels(self, way: Way[L]) -> Address:
        why = ""
        for place, sentinel in enumerate(self._sentinels):
            try:
                with within(left() / (len(self._sentinels) - place)):
                    asked = await way.open(sentinel, is_sentinel=True)
                    try:
                        found = await way.ask(asked, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._to.service)
                    finally:
                        way.close(asked)
            except (RedisError, OSError) as error:
                why = reason(error)
                continue
            if found is None:
                why = "it knows no service of the name in the URL"
                continue
            # Who answered is asked first the next time.
            self._sentinels = sorted(self._sentinels, key=lambda one, first=sentinel: one != first)  # type: ignore[misc]
            return _address(found[0], found[1], sentinel)
        raise Lost(f"{why} (its Sentinel)")

    async def _ask_nodes(self, way: Way[L]) -> L:
        """Ask the first node that answers which one holds the keys: itself, unless it is one of a cluster."""
        nodes = self._nodes or [(self._to.path, 0)]
        failure: RedisError | OSError = OSError("nobody was asked")
        for place, node in enumerate(nodes):
            try:
                with within(left() / (len(nodes) - place)):
                    line = await way.open(node)
                    slots = await _slots(way, line)
            except (RedisError, OSError) as error:
                failure = error
                continue
            if slots is None:
                if len(self._to.hosts) > 1:
                    way.close(line)
                    raise Lost("its URL names several hosts, which only the nodes of a Redis Cluster may be")
                return line
            return await self._in_cluster(way, line, slots)
        raise failure

    async def _in_cluster(self, way: Way[L], line: L, slots: Sequence[Any]) -> L:
        """Return a connection to the node that holds the keys: this one, or a new one in its place."""
        members = {
            (start, end): [_address(host, port, line.address) for host, port, *_ in nodes]
            for start, end, *nodes in slots
        }
        holders = next((nodes for (start, end), nodes in members.items() if start <= self._slot <= end), None)
        # Replicas that hold the keys come first: one of them is the next primary.
        known = [*(holders or ())[1:], *(node for nodes in members.values() for node in nodes), *self._to.hosts]
        self._nodes = list(dict.fromkeys(known))
        if holders is None:
            way.close(line)
            raise Lost("its cluster is down")
        if holders[0] == line.address:
            return line
        way.close(line)
        return await way.open(holders[0])


def servers_of(url: str) -> SpoolServers:
    """Return what a spool's URL says.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return parse_spool_url(url)
    except BadValue as problem:
        why = "; ".join(problem.reasons) or "is none of a Redis: write for instance redis://host:6379/0"
    # Without what lies behind: it may hold a piece of the URL.
    raise ConfigurationError(f"The URL of the spool {why}.")


async def _slots(way: Way[L], line: L) -> Sequence[Any] | None:
    """Return who holds which slots of a cluster; None if the server is in none, or will not say."""
    if line.mode not in ("cluster", ""):
        return None
    try:
        slots: Sequence[Any] = await way.ask(line, "CLUSTER", "SLOTS")
    except ResponseError:
        return None
    except BaseException:
        way.close(line)
        raise
    return slots


def _address(host: Any, port: Any, told_by: Address) -> Address:
    """Return where a server says that another one is; without a host it means its own."""
    name = host.decode() if isinstance(host, bytes) else host
    return (told_by[0] if name in (None, "", "?") else name, int(port))


def _told(error: RedisError | OSError) -> str:
    if type(error) is not ResponseError or is_refused_reply(error):
        return reason(error)
    where = _SCRIPT_LINE.search(str(error))
    if where:
        return f"it answers with an error in line {where.group(1)} of a script"
    return f"it answers with the error {code(error)}" if code(error) else "it answers with an error"
