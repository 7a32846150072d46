"""A worker with one rule broken: `python -m tests.chaos.mutant NAME worker ...`. What guards the rule has to notice.

Never imported by a worker that is to work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from mailworker.delivery.leases import Watch
from mailworker.spool.base import Leased, Made
from mailworker.spool.redis import RedisSpool


def _mark_nothing() -> None:
    def mark(self: RedisSpool, leased: Leased, lease: float) -> bool:
        return True

    def step(self: RedisSpool, done: Any, following: Leased | None, lease: float) -> Made:
        return Made(done is not None and self.done(*done), following is not None)

    RedisSpool.mark = mark  # type: ignore[method-assign]
    RedisSpool.step = step  # type: ignore[method-assign]


def _record_nothing() -> None:
    def done(self: RedisSpool, leased: Leased, outcomes: Mapping[str, Any]) -> bool:
        return True

    def step(self: RedisSpool, done: Any, following: Leased | None, lease: float) -> Made:
        return Made(done is not None, following is not None and self.mark(following, lease))

    RedisSpool.done = done  # type: ignore[method-assign]
    RedisSpool.step = step  # type: ignore[method-assign]


def _record_before_the_dot() -> None:
    may_commit = Watch.may_commit

    def record_first(self: Watch, leased: Leased) -> bool:
        self._spool.done(leased, {})
        return may_commit(self, leased)

    Watch.may_commit = record_first  # type: ignore[method-assign]


#: Name -> what breaks it.
MUTANTS: dict[str, Callable[[], None]] = {
    "mark says yes and writes nothing": _mark_nothing,
    "done says yes and writes nothing": _record_nothing,
    "done comes before the dot": _record_before_the_dot,
}


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    from mailworker.cli import main

    main()
