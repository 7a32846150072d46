"""One worker's access to the spool: every call is a step, may fail on the way there or back, and is told to the world.

A worker can die, stall or be overtaken before each call, and so between any two things that it does to the spool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mailworker.lane import Lane
from mailworker.outcome import Outcome
from mailworker.spool.base import Claim, Leased, MailerState, SpoolUnavailable
from tests.simulation import promises
from tests.simulation.known import KnownLease
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.worker import Worker

T = TypeVar("T")


class Access:
    """The spool as `Pipeline` sees it; what it has no method for is no step."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.spool, name)

    def now(self) -> float:
        self._reach()
        return self._world.now

    def has_ready(self, lanes: Sequence[Lane], slot: str = "") -> bool:
        self._reach()
        return self._world.spool.has_ready(lanes, slot)

    def leave(self, mailer: str, slot: str) -> None:
        def made() -> None:
            self._world.spool.leave(mailer, slot)
            self._world.was_left(self._worker.name, mailer)

        return self._call("leave", None, made)

    def claim(
        self, lanes: Sequence[Lane], limit: int, lease: float, mailer: str | None = None, slot: str = ""
    ) -> Claim:
        def made() -> Claim:
            claim = self._world.spool.claim(lanes, limit, lease, mailer, slot)
            for leased in claim.leased:
                self._worker.leases[leased.mail.id] = self._world.was_claimed(leased, self._worker.name, lease)
            # It may also have put mails away that it did not give out.
            self._world.all_touched = True
            return claim

        return self._call("claim", None, made)

    def mark(self, leased: Leased, lease: float) -> bool:
        return self._call("mark", leased, lambda: self.mark_made(leased, lease))

    def mark_made(self, leased: Leased, lease: float) -> bool:
        """Make a mark, wherever the call for it comes from."""
        ours = self._heard("mark", leased, {}, lambda: self._world.spool.mark(leased, lease))
        self._world.was_marked(self._known(leased), ours, lease)
        return ours

    def step(
        self, done: tuple[Leased, Mapping[str, Outcome]] | None, following: Leased | None, lease: float
    ) -> InFlight:
        self._worker.pause()
        self._reach("step", following)
        if done is not None and following is not None:
            where = "behind its envelope" if self._known(following).is_ahead else "before its envelope"
            self._world.reached[f"a step marks the next mail {where}"] += 1
        return InFlight(self._world, self._worker, self, done, following, lease)

    def renew(self, leased: Leased, lease: float) -> bool:
        def made() -> bool:
            ours = self._heard("renew", leased, {}, lambda: self._world.spool.renew(leased, lease))
            self._world.was_renewed(self._known(leased), ours, lease)
            return ours

        return self._call("renew", leased, made)

    def done(self, leased: Leased, outcomes: Mapping[str, Outcome]) -> bool:
        return self._say("done", leased, outcomes, lambda: self._world.spool.done(leased, outcomes))

    def done_made(self, leased: Leased, outcomes: Mapping[str, Outcome]) -> bool:
        """Make a `done`, wherever the call for it comes from."""
        ours = self._heard("done", leased, outcomes, lambda: self._world.spool.done(leased, outcomes))
        self._world.was_said(self._known(leased), "done", ours, outcomes, resend=False)
        return ours

    def defer(self, leased: Leased, until: float, outcomes: Mapping[str, Outcome], *, resend: bool = False) -> bool:
        def said() -> bool:
            return self._world.spool.defer(leased, until, outcomes, resend=resend)

        return self._say("defer", leased, outcomes, said, resend=resend)

    def snooze(self, leased: Leased, until: float) -> bool:
        return self._say("snooze", leased, {}, lambda: self._world.spool.snooze(leased, until))

    def bury(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str, *, keep: bool = False) -> bool:
        return self._say("bury", leased, outcomes, lambda: self._world.spool.bury(leased, outcomes, reason, keep=keep))

    def hold(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str) -> bool:
        return self._say("hold", leased, outcomes, lambda: self._world.spool.hold(leased, outcomes, reason))

    def trip(self, mailer: str, backoff: Sequence[float], reason: str) -> float:
        return self._call("trip", None, lambda: self._world.spool.trip(mailer, backoff, reason))

    def recover(self, mailer: str) -> None:
        return self._call("recover", None, lambda: self._world.spool.recover(mailer))

    def mailer_state(self, mailer: str) -> MailerState:
        return self._call("look", None, lambda: self._world.spool.mailer_state(mailer))

    def _heard(self, word: str, leased: Leased, outcomes: Mapping[str, Outcome], said: Callable[[], bool]) -> bool:
        return promises.at_word(self._world, leased, word, outcomes, said)

    def _known(self, leased: Leased) -> KnownLease:
        return self._world.mails[leased.mail.id].leases[leased.token]

    def _say(
        self,
        word: str,
        leased: Leased,
        outcomes: Mapping[str, Outcome],
        said: Callable[[], bool],
        *,
        resend: bool = False,
    ) -> bool:
        def made() -> bool:
            ours = self._heard(word, leased, outcomes, said)
            self._world.was_said(self._known(leased), word, ours, outcomes, resend=resend)
            return ours

        return self._call(word, leased, made)

    def _call(self, what: str, leased: Leased | None, made: Callable[[], T]) -> T:
        world, plan = self._world, self._world.plan
        self._worker.pause()
        self._reach(what, leased)
        if leased is not None:
            world.touched[leased.mail.id] = None
        try:
            answer = made()
        except Exception as error:
            world.fail("no error", f"{what} raised {type(error).__name__}: {error}")
            self._worker.pause()
            raise
        if plan.lost_reply and world.chance() < plan.lost_reply:
            world.note(self._worker.name, f"{_shown(what, leased)} -> {_answer(answer)}, which is lost")
            raise SpoolUnavailable("the answer of the spool is lost", maybe_done=True)
        if world.log is not None:
            world.note(self._worker.name, f"{_shown(what, leased)} -> {_answer(answer)}")
        return answer

    def _reach(self, what: str = "ask", leased: Leased | None = None) -> None:
        """Get through to the spool, or not."""
        world, unmade = self._world, self._world.plan.unmade
        if world.now < world.is_spool_away_until or (unmade and world.chance() < unmade):
            world.note(self._worker.name, f"{_shown(what, leased)}: the spool is away")
            raise SpoolUnavailable("the spool is away", maybe_done=False)


class InFlight:
    """A step that is on its way: made at any time until its answer is read, and in any part if that is lost."""

    def __init__(
        self,
        world: World,
        worker: Worker,
        access: Access,
        done: tuple[Leased, Mapping[str, Outcome]] | None,
        following: Leased | None,
        lease: float,
    ) -> None:
        self._world = world
        self._worker = worker
        self._access = access
        self._done = done
        self._following = following
        self._lease = lease
        self._is_done = self._is_marked = self._is_cut = self._is_made = False
        if world.chance() < 0.5:
            self._make()

    def answer(self) -> tuple[bool, bool]:
        world = self._world
        self._worker.pause()
        if not self._is_made:
            self._make()
        if self._is_cut or (world.plan.lost_reply and world.chance() < world.plan.lost_reply):
            world.reached["the answer to a whole step is lost"] += self._is_done and self._is_marked
            world.note(self._worker.name, "the answer to a step is lost")
            raise SpoolUnavailable("the answer of the spool is lost", maybe_done=True)
        return self._is_done, self._is_marked

    def _make(self) -> None:
        world, plan = self._world, self._world.plan
        self._is_made = True
        for leased in (self._done and self._done[0], self._following):
            if leased is not None:
                world.touched[leased.mail.id] = None
        if world.now < world.is_spool_away_until:
            # It was on its way when the server went.
            self._is_cut = True
            return
        if self._done is not None:
            self._is_done = self._access.done_made(*self._done)
            if world.log is not None:
                world.note(self._worker.name, f"{_shown('step: done', self._done[0])} -> {self._is_done}")
        is_torn = plan.cut > 0.0 and world.chance() < plan.cut
        self._is_cut = is_torn
        if self._following is None:
            return
        if is_torn and world.chance() < 0.5:
            world.reached["a step is cut: done is made, the mark is not"] += self._is_done
            return
        self._is_marked = self._access.mark_made(self._following, self._lease)
        if self._done is not None and not self._is_done:
            world.reached["a step is cut: done is refused, the mark is made"] += self._is_marked
        if world.log is not None:
            world.note(self._worker.name, f"{_shown('step: mark', self._following)} -> {self._is_marked}")


def _shown(what: str, leased: Leased | None) -> str:
    return what if leased is None else f"{what} {leased.mail.id}/{leased.token}"


def _answer(answer: object) -> str:
    if not isinstance(answer, Claim):
        return str(answer)
    return " ".join(f"{one.mail.id}/{one.token}{'?' * one.in_doubt}" for one in answer.leased) or "nothing"
