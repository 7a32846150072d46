"""A worker's step from one mail to the next in a RedisSpool: what its answer means, and what is asked of the general scripts.

`Standing` knows the records, the script compares; a mail that is not as the worker knew it is said again, word by word.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailworker.outcome import Outcome
from mailworker.spool.base import Leased, Spool, SpoolUnavailable
from mailworker.spool.calls import Started
from mailworker.spool.standing import Standing


class SentStep:
    """A step whose answer is on its way."""

    def __init__(
        self,
        spool: Spool,
        call: Started,
        done: tuple[Leased, Mapping[str, Outcome]] | None,
        following: Leased | None,
        lease: float,
    ) -> None:
        self._spool = spool
        self._call = call
        self._done = done
        self._following = following
        self._lease = lease

    def answer(self) -> tuple[bool, bool]:
        try:
            made, marked, now = self._call.answer()
        except SpoolUnavailable:
            for leased in (self._done and self._done[0], self._following):
                if leased is not None:
                    # What it has become there is not known any more.
                    standing_of(leased).lost_from_sight()
            raise
        is_done = self._done is not None and (made == 1 or self._spool.done(*self._done))
        if self._following is None:
            return is_done, False
        if marked == 1:
            standing_of(self._following).marked(now.decode())
            return is_done, True
        return is_done, self._spool.mark(self._following, self._lease)


#: Of a lease that did not come from a claim of this process: the general scripts are asked.
_UNKNOWN = Standing("", b"", {"l": "", "m": ""})
_UNKNOWN.lost_from_sight()


def standing_of(leased: Leased) -> Standing:
    """Return what the worker knows of a lease's record."""
    return leased.standing if isinstance(leased.standing, Standing) else _UNKNOWN
