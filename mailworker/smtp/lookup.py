"""The addresses of a name, waited for no longer than there is time.

Nothing of ours can interrupt the system's resolver, which has limits of its own: half a minute and more for a name server that
is silent. So it is asked in a thread, and whoever waits can go on without it; to count its time only would tell the truth
about a wait that is too long, and not end it. It decides how many such threads there are: one for each name at most, since
whoever asks for a name that is being looked up waits for that answer. Nothing is kept: the next to ask asks anew.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from typing import TypeAlias

from mailworker.lock import ForkSafeLock

_Name: TypeAlias = tuple[str, int]
_Address: TypeAlias = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]


class _Lookup:
    """One call of the resolver: what all who wait for it get."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._addresses: Sequence[_Address] = ()
        self._failure: BaseException | None = None

    def run(self, name: _Name) -> None:
        try:
            self._addresses = _ask(name)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._failure = error
        with _lock:
            if _underway.get(name) is self:
                del _underway[name]
        self.over.set()

    def result(self) -> Sequence[_Address]:
        if self._failure is not None:
            raise self._failure
        return self._addresses


def addresses(host: str, port: int, within: float) -> Sequence[_Address] | None:
    """Return what `socket.getaddrinfo` says, or None if it has not said it in time.

    Args:
        host: a name, or an address.
        port: a number.
        within: seconds to wait.

    Raises:
        OSError: the name is not known, or cannot be looked up now.
        UnicodeError: it cannot be a name.
    """
    name = (host, port)
    with _lock:
        lookup = _underway.get(name)
        if lookup is None:
            lookup = _Lookup()
            try:
                threading.Thread(target=lookup.run, args=(name,), name="mailworker-lookup", daemon=True).start()
            except RuntimeError:
                # No more threads, or the interpreter is about to end: what is sent then has to wait for the resolver itself.
                lookup = None
            else:
                _underway[name] = lookup
    if lookup is None:
        return _ask(name)
    return lookup.result() if lookup.over.wait(within) else None


def _ask(name: _Name) -> Sequence[_Address]:
    return socket.getaddrinfo(*name, type=socket.SOCK_STREAM)


_lock = ForkSafeLock()
_underway: dict[_Name, _Lookup] = {}

if hasattr(os, "register_at_fork"):
    # The parent's threads are not here.
    os.register_at_fork(after_in_child=_underway.clear)
