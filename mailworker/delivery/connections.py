"""Long-lived backend connections: one for each worker slot, mailer and login.

A slot is a prefork child or a thread of a pool. Connections are made in the slot that uses them, after the fork; one
that a fork copied is forgotten, never used or closed, since its socket belongs to the parent. What lies idle is closed
by a thread of its own, before relays end it (SES after 10 s). Whether an idle session is still good is the backend's
own question; a backend of another project is closed after any failure, and opened anew.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from mailworker import log
from mailworker.delivery import foreign
from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble

logger = log.get(__name__)

#: A login of its own for one message: (user, password), or None for the mailer's.
Login = tuple[str, str] | None

#: Makes an unopened backend for (mailer alias, login).
Build = Callable[[str, Login], Any]


@dataclass(slots=True, eq=False)
class _Slot:
    """One backend, when it was last used, and after how many idle seconds it is closed."""

    backend: Any
    idle_timeout: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    used_at: float = 0.0
    is_open: bool = False


class Connections:
    """The open backends of this process.

    Args:
        build: makes an unopened backend for a mailer and a login.
        idle_timeout: seconds after which an unused connection is closed; a backend with a `max_idle` says it itself.
        clock: monotonic seconds.
    """

    def __init__(self, build: Build, idle_timeout: float = 9.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._build = build
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._slots: dict[tuple[int, str, Login], _Slot] = {}
        self._reaper: threading.Thread | None = None
        #: Set when the reaper has to look again, and when it has to end.
        self._look, self._over = threading.Event(), threading.Event()

    def another(self) -> Connections:
        """Return an empty set of connections that is built in the same way."""
        return Connections(self._build, self._idle_timeout, self._clock)

    @contextmanager
    def use(self, mailer: str, login: Login = None) -> Iterator[Any]:
        """Lend this slot's open backend for a mailer.

        Args:
            mailer: alias of the mailer.
            login: user and password of the messages, None for the mailer's own.

        Yields:
            The backend, open. An exception inside closes it.

        Raises:
            MailerUnavailable: it could not be built or opened.
        """
        if self._pid != os.getpid():
            self._forget()
        key = (threading.get_ident(), mailer, login)
        with self._lock:
            slot = self._slots.get(key)
        if slot is None:
            backend = self._built(mailer, login)
            slot = _Slot(backend, _idle_timeout(backend, self._idle_timeout))
        with slot.lock:
            with self._lock:
                # Known only now that it is in use: an idle one might have been forgotten between the look and the lock.
                self._slots[key] = slot
                if not slot.is_open:
                    # It may have to be closed before the reaper meant to look again.
                    self._look.set()
                self._start_reaper()
            self._open(slot, mailer)
            try:
                yield slot.backend
            except BaseException:
                self._close(slot)
                raise
            finally:
                slot.used_at = self._clock()

    def close_own(self, mailer: str, *, but: Login | Literal["none"] = "none") -> None:
        """Close this slot's connections for a mailer, in order: with their end the relay has heard of it, if it answers.

        Args:
            mailer: alias of the mailer.
            but: a login whose connection stays; "none" closes that of the mailer's own login as well.
        """
        if self._pid != os.getpid():
            self._forget()
        own = threading.get_ident()
        with self._lock:
            slots = [slot for key, slot in self._slots.items() if key[:2] == (own, mailer) and key[2] != but]
        for slot in slots:
            with slot.lock:
                if slot.is_open:
                    self._close(slot)

    def close_idle(self) -> float | None:
        """Close what has been idle for too long.

        Returns:
            Seconds until the next one may be, None if nothing is open.
        """
        now = self._clock()
        with self._lock:
            slots = list(self._slots.items())
        living = {thread.ident for thread in threading.enumerate()}
        rest: list[float] = []
        for key, slot in slots:
            if not slot.lock.acquire(blocking=False):
                rest.append(slot.idle_timeout)
                continue
            try:
                left = slot.used_at + slot.idle_timeout - now
                if slot.is_open and left <= 0:
                    self._close(slot)
                elif slot.is_open:
                    rest.append(left)
            finally:
                slot.lock.release()
            if not slot.is_open and (key[0] not in living or key[2] is not None):
                # A thread that ended never comes back for its slot, and a login of its own is seldom seen twice.
                with self._lock:
                    self._slots.pop(key, None)
        return min(rest, default=None)

    def close_all(self) -> None:
        """Close every connection of this process; never raises."""
        if self._pid != os.getpid():
            self._forget()
            return
        with self._lock:
            slots = list(self._slots.values())
            self._slots.clear()
            self._over.set()
            self._look.set()
            self._reaper = None
        for slot in slots:
            with slot.lock:
                self._close(slot)

    def _built(self, mailer: str, login: Login) -> Any:
        try:
            return self._build(mailer, login)
        except ConfigurationError as error:
            raise MailerUnavailable(str(error), Trouble.CONFIGURATION) from error
        except BaseException as error:
            if not foreign.is_failure(error):
                raise
            text = f"the backend of mailer {mailer!r} cannot be built: {type(error).__name__}"
            raise MailerUnavailable(text, Trouble.CONFIGURATION) from error

    def _open(self, slot: _Slot, mailer: str) -> None:
        stale = slot.is_open and self._clock() - slot.used_at >= slot.idle_timeout
        if stale:
            self._close(slot)
        try:
            slot.backend.open()
        except BaseException as error:
            self._close(slot)
            if not foreign.is_failure(error):
                raise
            raise foreign.unavailable(mailer, error) from error
        slot.is_open = True

    def _close(self, slot: _Slot) -> None:
        slot.is_open = False
        try:
            slot.backend.close()
        except BaseException as error:
            # A backend that fails to close has nothing left that we could mend.
            if not foreign.is_failure(error):
                raise

    def _start_reaper(self) -> None:
        if self._reaper is None or not self._reaper.is_alive():
            self._look, self._over = threading.Event(), threading.Event()
            self._reaper = threading.Thread(
                target=self._reap, args=(self._look, self._over), name="mailworker-idle", daemon=True
            )
            self._reaper.start()

    def _reap(self, look: threading.Event, over: threading.Event) -> None:
        while not over.is_set():
            look.clear()
            wait = self.close_idle() or self._idle_timeout
            if not over.is_set():
                look.wait(max(wait, 0.05))


def _idle_timeout(backend: Any, otherwise: float) -> float:
    found = getattr(backend, "max_idle", None)
    return float(found) if isinstance(found, int | float) and found > 0 else otherwise
