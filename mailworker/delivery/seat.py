"""The seat of a worker slot: its right to a session with the relay of a mailer that allows only so many (DESIGN §8).

A slot has one seat at most: that of the mailer whose mail it was given last. It has it from a claim on, and gives it up when
its run over the spool ends, when it goes on with another mailer, when the relay is in trouble, and when it has run out by our
own clock; the connection is closed before, for an idle session counts at the relay as well. So there is no session without a
seat, except while a process stands still, or is cut off from the spool, for longer than its lease: then the spool gives
the seat to another, and this slot closes its session as soon as it goes on, or as its transaction is over.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable

from mailworker.delivery.connections import Connections, Login
from mailworker.delivery.leases import Watch
from mailworker.delivery.steady import SteadySpool
from mailworker.spool.base import Leased

_named = threading.local()


def slot_name() -> str:
    """Return the name of the slot that this is: a prefork child or a thread of a pool, as long as it lives."""
    if getattr(_named, "pid", None) != os.getpid():
        _named.pid, _named.name = os.getpid(), secrets.token_hex(8)
    return str(_named.name)


class Seat:
    """What a slot holds.

    Args:
        spool: the queue.
        connections: open backends.
        slot: the slot's name.
        clock: monotonic seconds.

    Attributes:
        when_free: called when a seat was given up: who waited for it has had its wake-up, and has gone home.
    """

    def __init__(self, spool: SteadySpool, connections: Connections, slot: str, clock: Callable[[], float]) -> None:
        self._spool = spool
        self._connections = connections
        self._slot = slot
        self._clock = clock
        self._mailer: str | None = None
        self._until = 0.0
        self._watch: Watch | None = None
        self.when_free: Callable[[], None] = lambda: None

    def taken(self, leased: Leased, watch: Watch) -> None:
        """Note what mail was given to this slot, and with it a seat; that of another mailer is given up.

        Args:
            leased: one of a claim's mails.
            watch: its leases.
        """
        mailer = leased.mail.mailer
        if self._mailer != mailer:
            self.give_up()
        if leased.slot:
            # Never less than it was: the spool lets what lasts longer stay.
            self._until = self._ends() if self._mailer == mailer else 0.0
            self._mailer, self._watch = mailer, watch

    def may_open(self, leased: Leased, login: Login) -> bool:
        """Tell whether a session may be opened for a mail; one with another login ends first."""
        if not leased.slot:
            return True
        if self._mailer is None or self.is_over():
            return False
        self._connections.close_own(self._mailer, but=login)
        return True

    def is_over(self) -> bool:
        """Tell whether there is a seat, and its time is over by our own clock."""
        return self._mailer is not None and self._clock() >= self._ends()

    def give_up(self) -> None:
        """Close the session and give up the seat, if there is one."""
        mailer, self._mailer = self._mailer, None
        if mailer is None:
            return
        self._connections.close_own(mailer)
        if self._spool.leave(mailer, self._slot):
            self.when_free()

    def _ends(self) -> float:
        return self._until if self._watch is None else max(self._until, self._watch.lasts_until)
