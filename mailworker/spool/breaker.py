"""What the troubles with a mailer's relay mean for its mails, pure: a pause that grows, then one probe at a time.

A breaker is one immutable value. While it has failures on record, its mailer either pauses, or lets exactly one mail
out as the probe. Which trouble trips it is `delivery`'s to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Breaker:
    """The troubles in a row of one mailer.

    Attributes:
        failures: how many.
        paused_until: end of the pause, seconds; None before the first trouble.
        reason: what the last trouble was.
        probe: token of the lease that is out as the probe, None if none is.
        probe_until: when that lease ends, seconds.
    """

    failures: int = 0
    paused_until: float | None = None
    reason: str = ""
    probe: str | None = None
    probe_until: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until a mail may go, 0 if one may go now; alone, if there are `failures`."""
        if self.failures == 0:
            return 0.0
        if self.paused_until is not None and self.paused_until > now:
            return self.paused_until - now
        if self.probe is not None and self.probe_until > now:
            return self.probe_until - now
        return 0.0

    def tripped(self, backoff: Sequence[float], reason: str, now: float) -> Breaker:
        """Return the breaker after a trouble.

        A trouble that is reported while the pause is still running comes from a worker that met the same one: it
        neither counts nor moves the end of the pause, or ten workers would make a day of one refused connection.

        Args:
            backoff: seconds to pause after the first, second, ... failure; the last one repeats.
            reason: what it was.
            now: seconds.

        Raises:
            ValueError: if backoff is empty.
        """
        if not backoff:
            raise ValueError("trip(): backoff is empty, expected at least one number of seconds")
        if self.paused_until is not None and self.paused_until > now:
            return replace(self, reason=reason)
        failures = self.failures + 1
        return Breaker(failures, now + backoff[min(failures, len(backoff)) - 1], reason)

    def probing(self, token: str, until: float) -> Breaker:
        """Return the breaker with this lease out as the probe."""
        return replace(self, probe=token, probe_until=until)

    def without(self, token: str) -> Breaker:
        """Return the breaker after this lease has ended: if it was the probe, the next one may go."""
        return replace(self, probe=None) if self.probe == token else self


#: Nothing is wrong.
CLOSED = Breaker()
