"""The way to the Redis that holds the spool: which server it is now, a connection to it, and what its failures mean.

The URL may name one Redis, some nodes of a Redis Cluster, or Sentinels (`settings.spool_url`). All keys of a spool share a
slot, so that one primary holds it; it is found when first needed, and anew when it refuses or is gone. Which commands are
said to it is for others. Nothing is done twice but what was certainly not done, and no wait outlasts the caller's deadline;
every failure is a `SpoolUnavailable` in our own words.

Known limits: Sentinels that still name a primary that was cut off from them lead to it. While a cluster's slot moves, a command
is sent on to where it moves (ASK) once, a pipeline is refused there; a script that finds its keys on both sides is refused.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError

from mailworker.deadline import left, within
from mailworker.errors import ConfigurationError
from mailworker.refusal import code, is_refused_reply, reason
from mailworker.settings import parse_spool_url, safe_url
from mailworker.settings.rule import BadValue
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.line import Address, Line, close, is_quiet, open_line

T = TypeVar("T")

#: Seconds after which an idle connection is not trusted any more: below the idle limits of common firewalls.
_MAX_IDLE = 30.0

#: Seconds for which a connection is trusted without a look at it by whoever can say a thing twice: the look is a system call.
_TRUSTED = 1.0

#: Replies that say that this is not, or no longer, the primary of the keys.
_ELSEWHERE = frozenset({"ASK", "MASTERDOWN", "MOVED", "READONLY"})

#: Where Redis 7 says that a script failed; the words around it may hold what the script was given.
_SCRIPT_LINE = re.compile(r"user_script:\s?(\d+)")


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a call could not be made; `again`: it was not made, and might be elsewhere; at `ask`, if that is known."""

    text: str
    maybe_done: bool = False
    again: bool = False
    ask: Address | None = None


class Server:
    """Leads calls to the Redis that holds a spool; safe to share between threads, and over a fork.

    Args:
        url: of the Redis; nothing is connected to yet.
        timeout: seconds that one `run` may take.
        slot_key: any of the spool's keys: in a cluster it tells which node holds them.
        keep: idle connections that are kept; more than so many threads at once open and close theirs.
        clock: monotonic seconds.

    Attributes:
        url_shown: the URL without its password.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(
        self, url: str, timeout: float, *, slot_key: str, keep: int = 128, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.url_shown = safe_url(url)
        try:
            self._to = parse_spool_url(url)
        except BadValue as problem:
            why = "; ".join(problem.reasons) or "is none of a Redis: write for instance redis://host:6379/0"
            # Without what lies behind: it may hold a piece of the URL.
            raise ConfigurationError(f"The URL of the spool {why}.") from None
        self._timeout = timeout
        self._slot = key_slot(slot_key.encode())
        self._keep = keep
        self._clock = clock
        self._sentinels = list(self._to.hosts)
        self._nodes: list[Address] = [] if self._to.service else list(self._to.hosts)
        self._primary: Address | None = None
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[Line] = []

    def run(self, call: Callable[[redis.Redis], T]) -> T:
        """Return what `call` returns for a client of the primary, all whose commands go over one connection.

        `call` is made a second time where the first one was certainly in vain: with replies only that refused. So it must be
        one that can be, and must not swallow errors that break the connection.

        Raises:
            SpoolUnavailable: the Redis is away or refuses; `maybe_done` unless it is certain that nothing was done. Of
                several commands in one call, some may be done where another was refused.
        """
        with within(self._timeout):
            answer = self._run(call)
            if isinstance(answer, _Failure) and answer.again:
                answer = self._run(call, answer.ask)
        if isinstance(answer, _Failure):
            # Outside of any `except`: the client's own errors repeat commands, and so pieces of mails.
            raise SpoolUnavailable(answer.text, maybe_done=answer.maybe_done)
        return answer

    def start(self, *words: Any) -> Sent:
        """Send one command, and do not wait for its answer; one that may be said twice.

        Raises:
            SpoolUnavailable: the Redis is away; `maybe_done` as in `run`.
        """
        with within(self._timeout):
            line = self._line(None, trusted=_TRUSTED)
            if isinstance(line, _Failure):
                raise SpoolUnavailable(line.text, maybe_done=line.maybe_done)
            line.connection.begin()
            try:
                line.connection.write(*words)
            except (RedisError, OSError) as error:
                failure = self._failed(line, error)
                close(line)
            else:
                return Sent(self, line)
        raise SpoolUnavailable(failure.text, maybe_done=failure.maybe_done)

    def close(self) -> None:
        """Close the idle connections; those that are in use are closed by their threads only if more are kept than allowed."""
        if self._pid != os.getpid():
            self._forget()
        self._drop_idle()

    def _run(self, call: Callable[[redis.Redis], T], ask: Address | None = None) -> T | _Failure:
        line = self._line(ask)
        if isinstance(line, _Failure):
            return line
        line.connection.begin()
        try:
            answer = call(line.client)
        except (RedisError, OSError) as error:
            failure = self._failed(line, error)
            if isinstance(error, ResponseError):
                self._give_back(line)
            else:
                close(line)
            return failure
        except BaseException:
            close(line)
            raise
        self._give_back(line)
        return answer

    def _failed(self, line: Line, error: RedisError | OSError) -> _Failure:
        """Judge what a call raised, and forget the primary where it may be another one."""
        in_vain = not line.connection.has_sent or (is_refused_reply(error) and not line.connection.answered)
        elsewhere = code(error) in _ELSEWHERE
        ask = None
        if isinstance(error, AskError) and not isinstance(error, MovedError):
            ask = _address(error.host, error.port, line.address)
        elif isinstance(error, MovedError):
            holder = _address(error.host, error.port, line.address)
            self._nodes = list(dict.fromkeys([*self._nodes, holder]))
            self._turn_to(holder)
        elif elsewhere or not isinstance(error, ResponseError):
            self._doubt(line.address)
        return _Failure(_told(error), maybe_done=not in_vain, again=in_vain and elsewhere, ask=ask)

    def _line(self, ask: Address | None, trusted: float = 0.0) -> Line | _Failure:
        """Return a connection to the primary that works, or worked so many seconds ago; a new one to `ask` if that is given."""
        if left() <= 0:
            return _Failure("it does not answer")
        if self._pid != os.getpid():
            # The sockets are the parent's: closing them here only closes our copies.
            self._forget()
        primary = self._primary
        try:
            if ask is not None:
                line = self._open(ask)
                line.connection.asking = True
                return line
            return self._find() if primary is None else self._idle_line(primary, trusted) or self._open(primary)
        except (RedisError, OSError) as error:
            if ask is None and primary is not None:
                self._doubt(primary)
            # Where it was found a moment ago, it is not looked for again.
            return _Failure(reason(error), again=primary is not None and self._has_others())
        except _Lost as lost:
            return _Failure(lost.text)

    def _idle_line(self, primary: Address, trusted: float) -> Line | None:
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None:
                return None
            idle = self._clock() - line.used_at
            if line.address == primary and idle < _MAX_IDLE and (idle < trusted or is_quiet(line)):
                return line
            close(line)

    def _has_others(self) -> bool:
        """Tell whether the primary may be another server than the one the URL leads to."""
        return bool(self._to.service) or len(self._nodes) > 1

    def _find(self) -> Line:
        """Return a connection to the primary, found anew.

        Raises:
            RedisError: it cannot be reached.
            OSError: the same.
            _Lost: nobody says where it is.
        """
        if self._to.service:
            address = self._ask_sentinels()
            line = self._open(address)
        else:
            line = self._ask_nodes()
        with self._lock:
            self._primary = line.address
        return line

    def _ask_sentinels(self) -> Address:
        why = ""
        for place, sentinel in enumerate(self._sentinels):
            try:
                with within(left() / (len(self._sentinels) - place)):
                    asked = self._open(sentinel, is_sentinel=True)
                    try:
                        found = _answer(asked, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._to.service)
                    finally:
                        close(asked)
            except (RedisError, OSError) as error:
                why = reason(error)
                continue
            if found is None:
                why = "it knows no service of the name in the URL"
                continue
            # Who answered is asked first the next time.
            self._sentinels = sorted(self._sentinels, key=lambda one, first=sentinel: one != first)  # type: ignore[misc]
            return _address(found[0], found[1], sentinel)
        raise _Lost(f"{why} (its Sentinel)")

    def _ask_nodes(self) -> Line:
        """Ask the first node that answers which one holds the keys: itself, unless it is one of a cluster."""
        nodes = self._nodes or [(self._to.path, 0)]
        failure: RedisError | OSError = OSError("nobody was asked")
        for place, node in enumerate(nodes):
            try:
                with within(left() / (len(nodes) - place)):
                    line = self._open(node)
                    slots = _slots(line)
            except (RedisError, OSError) as error:
                failure = error
                continue
            if slots is None:
                if len(self._to.hosts) > 1:
                    close(line)
                    raise _Lost("its URL names several hosts, which only the nodes of a Redis Cluster may be")
                return line
            return self._in_cluster(line, slots)
        raise failure

    def _in_cluster(self, line: Line, slots: Sequence[Any]) -> Line:
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
            close(line)
            raise _Lost("its cluster is down")
        if holders[0] == line.address:
            return line
        close(line)
        return self._open(holders[0])

    def _open(self, address: Address, *, is_sentinel: bool = False) -> Line:
        return open_line(self._to, address, self._timeout, is_sentinel=is_sentinel)

    def _give_back(self, line: Line) -> None:
        line.used_at = self._clock()
        if line.pid == os.getpid() == self._pid and not line.connection.asking:
            with self._lock:
                if line.address == self._primary and len(self._idle) < self._keep:
                    self._idle.append(line)
                    return
        close(line)

    def _doubt(self, address: Address) -> None:
        """Find the primary anew the next time, if this is what is taken for it."""
        if self._primary == address:
            self._turn_to(None)

    def _turn_to(self, primary: Address | None) -> None:
        """Take another server for the primary, None = find it anew."""
        with self._lock:
            self._primary = primary
        self._drop_idle()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            close(line)


class Sent:
    """A command whose answer is still to come, on a connection that is nobody else's until then.

    Args:
        server: where it was sent to.
        line: the connection.
    """

    __slots__ = ("_line", "_server")

    def __init__(self, server: Server, line: Line) -> None:
        self._server = server
        self._line = line

    def answer(self) -> Any:
        """Return the answer, once.

        Raises:
            NoScriptError: the server does not know the script: nothing was done.
            SpoolUnavailable: the Redis is away, or refuses; why, the same thing said by `Server.run` would tell.
        """
        line, server = self._line, self._server
        answer: Any = None
        failure = None
        try:
            answer = line.connection.read()
        except (RedisError, OSError) as error:
            failure = server._failed(line, error)  # noqa: SLF001 - the two are one
            close(line)
        except BaseException:
            close(line)
            raise
        if failure is not None:
            # Outside of any `except`: the client's own errors repeat commands, and so pieces of mails.
            raise SpoolUnavailable(failure.text, maybe_done=failure.maybe_done)
        server._give_back(line)  # noqa: SLF001 - see above
        if isinstance(answer, NoScriptError):
            # A new one: a frame that holds the error that it raises keeps itself, and all that its callers hold.
            raise NoScriptError
        if isinstance(answer, RedisError):
            raise SpoolUnavailable("it answers with an error", maybe_done=True)
        return answer


class _Lost(Exception):  # noqa: N818 - an answer, on its way to who asked
    """Raised when somebody answers, and does not say where the primary is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def _slots(line: Line) -> Sequence[Any] | None:
    """Return who holds which slots of a cluster; None if the server is in none, or will not say."""
    if line.mode not in ("cluster", ""):
        return None
    try:
        slots: Sequence[Any] = _answer(line, "CLUSTER", "SLOTS")
    except ResponseError:
        return None
    return slots


def _answer(line: Line, *words: str) -> Any:
    line.connection.send_command(*words)
    return line.connection.read_response()


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
