"""The access tokens of this process: kept while they are good, and asked for once when they are not.

It decides when a token function is called: never by two threads at a time, never while a token is known to be good, and
again when the relay has refused it. The function runs in a thread of its own: a call cannot be ended from outside, but
whoever waits for it can go on. What comes of a token is for `bearer`. It fails with `MailerUnavailable`, and neither a
token nor the words of an exception of the function's, which may hold one, are in its text.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

from mailworker.errors import MailerUnavailable, Trouble
from mailworker.lock import ForkSafeLock
from mailworker.smtp.access_token import AccessToken, BadToken, TokenFunction, checked

#: Seconds before its end at which a token is not used any more: clocks differ, and a login takes its time.
MARGIN = 30.0

#: Seconds after which a call that has not returned is taken for one that never will. Another is made beside it, so that a
#: dead connection in the function does not stop a mailer for good; each of them costs a thread.
GIVEN_UP_AFTER = 300.0

#: Functions whose tokens are kept, the last used ones: a program that makes a new one each time must not fill the memory.
KEPT = 64


@dataclass(eq=False, slots=True)
class _Call:
    """One call of the function: what all who wait for it get."""

    began: float
    over: threading.Event = field(default_factory=threading.Event)
    token: AccessToken | None = None
    failure: tuple[str, Trouble] = ("", Trouble.AUTH_TEMPORARY)


class TokenSource:
    """A token function and the token that it gave last. Made by `of`, which knows them all.

    Args:
        function: gives a token.
        now: seconds since the epoch.
        clock: monotonic seconds.

    Attributes:
        name: of the function, as a text shows it.
    """

    def __init__(self, function: TokenFunction, now: Callable[[], float], clock: Callable[[], float]) -> None:
        self.function = function
        self.name = name_of(function)
        self._now = now
        self._clock = clock
        self._kept: AccessToken | None = None
        self.renew()

    def renew(self) -> None:
        """Forget the lock and the call of a parent process, whose threads are not here; its token stays good."""
        self._lock = threading.Lock()
        self._call: _Call | None = None

    @property
    def expires_at(self) -> float | None:
        """When the token ends that is kept, in seconds since the epoch; None if there is none, or nobody knows."""
        kept = self._kept
        return kept.expires_at if kept else None

    def token(self, within: float, instead_of: str | None = None) -> str:
        """Return a token: the kept one, or the one that a call gives which is made or going on.

        A function that hangs holds its caller no longer than `within`, and goes on in its own thread meanwhile; what it
        returns later is kept.

        Args:
            within: seconds to wait for a call.
            instead_of: a token that the relay has refused.

        Raises:
            MailerUnavailable: the function failed, took too long, or gave something that is no token.
        """
        with self._lock:
            if instead_of is not None:
                self._forget(instead_of)
            kept = self._kept
            if kept is not None and self._is_good(kept):
                return kept.token
            call = self._call
            if call is None or self._clock() - call.began >= GIVEN_UP_AFTER:
                call = self._call = _Call(self._clock())
                self._begin(call)
        if not call.over.wait(within):
            text = f"the token function {self.name} has not returned within {round(within, 2):g} s"
            raise MailerUnavailable(text, Trouble.AUTH_TEMPORARY)
        if call.token is None:
            raise MailerUnavailable(*call.failure)
        return call.token.token

    def drop(self, token: str) -> None:
        """Keep this token no longer: the relay did not take it."""
        with self._lock:
            self._forget(token)

    def _forget(self, token: str) -> None:
        if self._kept is not None and self._kept.token == token:
            self._kept = None

    def _is_good(self, token: AccessToken) -> bool:
        return token.expires_at is None or self._now() < token.expires_at - MARGIN

    def _begin(self, call: _Call) -> None:
        # With the caller's context, as if it had called by itself.
        run = contextvars.copy_context().run
        try:
            threading.Thread(target=run, args=(self._run, call), name="mailworker-token", daemon=True).start()
        except RuntimeError as error:
            # No more threads, or the interpreter is about to end.
            self._call = None
            text = f"the token function {self.name} cannot be called now: {error}"
            raise MailerUnavailable(text, Trouble.AUTH_TEMPORARY) from error

    def _run(self, call: _Call) -> None:
        try:
            call.token = checked(self.function(), self._now())
        except BadToken as bad:
            call.failure = (f"the token function {self.name} returned {bad}", Trouble.CONFIGURATION)
        except BaseException as error:  # noqa: BLE001 - whatever it raises; its words may hold a secret, its name does not
            call.failure = (f"the token function {self.name} raised {type(error).__name__}", Trouble.AUTH_TEMPORARY)
        with self._lock:
            if self._call is call:
                self._call = None
                self._kept = call.token
        call.over.set()


def name_of(function: Any) -> str:
    """Return how a text calls a function, or another callable: never its repr, which may show what it holds."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def of(
    function: TokenFunction,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> TokenSource:
    """Return this process's source for a function: the same for all mailers and threads that use it.

    Args:
        function: gives a token.
        now: seconds since the epoch, for a source that is not there yet.
        clock: monotonic seconds; the same.
    """
    key = _key(function)
    with _lock:
        source = _sources.get(key)
        if source is None:
            source = _sources[key] = TokenSource(function, now, clock)
        _sources.move_to_end(key)
        while len(_sources) > KEPT:
            _sources.popitem(last=False)
    return source


def _key(function: TokenFunction) -> tuple[int, ...]:
    """Return who a function is: its source holds on to it, so that nobody else gets its number.

    Not the function itself: an object that can be called may not be hashable. A bound method is a new object each time.
    """
    if isinstance(function, MethodType):
        return id(function.__self__), id(function.__func__)
    return (id(function),)


_lock = ForkSafeLock()
_sources: OrderedDict[tuple[int, ...], TokenSource] = OrderedDict()


def _renew_all() -> None:
    for source in _sources.values():
        source.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
