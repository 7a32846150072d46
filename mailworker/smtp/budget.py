"""How long opening a session may take: so much for each step, and so much for all of them together.

A server that answers each step at the last moment keeps every step's time: with STARTTLS, HELO in place of EHLO, a second
token and a second connection these are some twenty. So there is one deadline for the whole besides. It decides when a step
has to be over, and what a text says if that was for the whole's sake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.errors import MailerUnavailable, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailworker.smtp.options import SessionOptions


class Budget:
    """The time for opening one session; it runs from when this is made.

    Args:
        options: say how much.
        clock: monotonic seconds.

    Attributes:
        clock: as given.
    """

    def __init__(self, options: SessionOptions, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._options = options
        self._ends_at = clock() + options.time_to_open

    def step(self) -> float:
        """Return when a step has to be over that begins now: after its own time, or with the whole.

        Raises:
            MailerUnavailable: the whole is over. The step is not begun: it would be told as the server's failure in it.
        """
        now = self.clock()
        if now >= self._ends_at:
            raise MailerUnavailable(f"{self._options.where}: {self._over()}", Trouble.CONNECT)
        return min(now + self._options.timeout, self._ends_at)

    def seconds(self) -> float:
        """Return how long a step may take that begins now; raises as `step` does."""
        return self.step() - self.clock()

    def reason(self, deadline: float) -> str:
        """Return what a text adds to a step that was not over in time; "" if it had all of its own.

        Args:
            deadline: what `step` said to it.
        """
        return f": {self._over()}" if deadline >= self._ends_at else ""

    def _over(self) -> str:
        return f"the session was not open within {self._options.time_to_open:g} s (opening_timeout)"
