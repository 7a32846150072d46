"""RedisSpool: the queue in a Redis, where no death of a process loses a mail (DESIGN §8).

Every change of state is one Lua script, so that it happens whole or not at all, by Redis's own clock. Here stands what
goes to the scripts and what comes back (`intake`: how mails come in; `reader`: how they are read; `tally`: how many there
are, and which gates are shut); the rules stand in
`scripts/`, the same ones as `rules`, `claims` and `gates`. Any call may raise `SpoolUnavailable`; nothing is tried twice
here, but what `Server` knows to be not done.

Keys, all behind `{namespace}:`, so that they are on one node of a cluster. A row is `lane/mailer`, a stream
`domain/group` with either part empty:

    m:ID                     string   the mail (`record.lua`)
    due:ROW:STREAM           zset     id -> ready at
    leases:ROW               zset     id, or id LF STREAM -> end of the lease
    waiting:ROW, turns:ROW   zset     streams that have mails: by when they are ready; those that are, by turn
    by-group:ROW:GROUP       zset     streams that wait beside a closed gate, by turn
    by-domain:ROW:DOMAIN     zset     the same; domains:ROW (set) has the domains
    streams:ROW              set      all streams of a row
    soon                     zset     row -> not before this time has it anything ready
    mailers                  zset     mailer -> turn; `turn` counts them
    gate:MAILER              hash     person, why; failures, pause, cause, probe, probe_ends (breaker); full (rate)
    gates                    set      mailers that a gate was closed of
    shut                     set      groups that are paused or cancelled
    domain:MAILER            hash     domain -> full (rate)
    seats:MAILER:DOMAIN      zset     token -> end of the lease
    sessions:MAILER          zset     slot -> end of its seat, where sessions are limited
    group:GROUP              hash     paused, why, itself, cancelled, filling, epoch, n:STATE; rate, burst, full; opens, closes
    windows:GROUP            list     opens closes: the windows that follow
    places:GROUP             set      where its mails are due or held
    held:ROW:GROUP           set      id LF ROW LF STREAM
    held, dead               zset     the same -> since when
    finished                 list     time LF id LF ROW LF state LF group, oldest first, to be forgotten after the retention
    called-back              list     indexes of cancelled groups, to be emptied; due-back:N, held-back:N; `heaps` counts
    content:NAME             hash     bytes, mails: a large piece of content and how many mails have it
    bulk:NAME                hash     plan, digest, created, rows, suppressed, read, bad, last, filled, began, ended, forgotten;
                                      max_bounces, bounce_window
    bulks                    zset     name -> since when
    letter:NAME              string   what all its mails say
    rows:NAME                list     ids of its mails, as they came
    outcomes:NAME            hash     domain LF class -> number; domains-of:NAME (hash) has the sealed names of its domains
    errors:NAME              list     time LF domain LF outcome, newest first
    bounces:NAME             list     how many of its mails were settled when one was rejected
    count                    hash     ROW/STATE -> number; of the leased, leases:ROW is the count
    wake:LANE                string   a wake-up is on its way
    contested                string   claims in a row that found work in several lanes
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mailworker.lane import Lane
from mailworker.outcome import Outcome
from mailworker.spool import places
from mailworker.spool.at_once import at_once
from mailworker.spool.base import (
    Claim,
    Ended,
    GroupGate,
    Leased,
    Limits,
    Made,
    MailerState,
    SpoolStats,
    Step,
)
from mailworker.spool.bulk import tell_stopped
from mailworker.spool.bulks import RedisBulks
from mailworker.spool.calls import ASK_TIME, Calls, InThread, Primary
from mailworker.spool.clock import CLOCK_AGE, ServerClock
from mailworker.spool.intake import WAKE_FLAG, Intake
from mailworker.spool.packed import Packer, Sealing, encode, stamp
from mailworker.spool.reader import Reader, tell_lost, tell_unreadable
from mailworker.spool.record import Mail, MailStatus, State
from mailworker.spool.script import Script
from mailworker.spool.standing import NOBODY, Standing
from mailworker.spool.step import SentStep, standing_of
from mailworker.spool.tally import Tally

_NO_LIMITS = Limits()

#: Rounds of tidying, of 500 mails each, that a person who asks for counts waits for: a second or so.
_TIDINGS = 100

#: What a word answers that counted, and for which its bulk has paused itself.
_HAS_STOPPED = 2


class RedisSpool:
    """The spool in Redis; the operations are those of `mailworker.spool.base.Spool`.

    Args:
        server: leads to the Redis.
        namespace: first part of all keys.
        limits: mailer -> what it allows; a mailer that is not named has no limits.
        retention: seconds for which finished mails stay known.
        sealing: encrypts ledgers if it has keys.
        replicas: how many replicas must have a mail before `put` returns; Redis replicates after it has answered.
        replica_timeout: seconds to wait for them.
        mailers: those that this worker can deliver with, None = all. Mail of others is none of its business: during a
            deploy that adds one, another worker knows it.
        parts: the scripts.
        clock_age: seconds for which the server's clock is taken from ours.

    Attributes:
        bulks: see there.
        strangers: the mailers that this worker does not know and that had mail ready when it looked last (`waits`,
            `has_ready`), by name; in the lanes that it asked for.
    """

    def __init__(
        self,
        server: Primary,
        namespace: str,
        *,
        limits: Mapping[str, Limits] = MappingProxyType({}),
        retention: float = 7 * 86_400,
        sealing: Sealing | None = None,
        replicas: int = 0,
        replica_timeout: float = 1.0,
        mailers: Collection[str] | None = None,
        parts: Mapping[str, Script] | None = None,
        clock_age: float = CLOCK_AGE,
    ) -> None:
        self._server = server
        self._prefix = f"{{{namespace}}}:"
        self._calls = Calls(server, self._prefix, retention, parts)
        self._limits = dict(limits)
        told: dict[str, Any] = {"limits": {mailer: _plain(limit) for mailer, limit in self._limits.items()}}
        self._mailers_json = ""
        if mailers is not None:
            told["mailers"] = sorted(mailers)
            self._mailers_json = json.dumps(told["mailers"])
        self._told_json = json.dumps(told)
        self._sessions = {mailer: limit.sessions for mailer, limit in self._limits.items() if limit.sessions}
        self._sessions_json = json.dumps(self._sessions) if self._sessions else ""
        self.strangers: tuple[str, ...] = ()
        self._packer = Packer(sealing)
        self._intake = Intake(InThread(self._calls), self._packer, self._limits, replicas, replica_timeout)
        self._reader = Reader(server, self._prefix, self._calls, self._packer)
        self.bulks = RedisBulks(
            server,
            self._prefix,
            self._calls,
            self._packer,
            self._reader,
            self._limits,
            self._bring_up_to_date,
            replicas,
            replica_timeout,
        )
        self._tally = Tally(server, self._prefix, self._calls, self._sessions)
        self._clock = ServerClock(clock_age)

    def now(self) -> float:
        if not self._clock.is_set:
            return self._clock.set(self._calls.run("ready", *ASK_TIME)[0])
        return self._clock.now()

    def close(self) -> None:
        """Close the connections to the server."""
        self._server.close()

    def put(self, mails: Iterable[Mail]) -> list[bool]:
        return self.put_and_wake(mails, wake=False)[0]

    def put_and_wake(self, mails: Iterable[Mail], *, wake: bool = True) -> tuple[list[bool], set[Lane]]:
        """Take mails in, and say in which lanes a worker has to be woken for them.

        Returns:
            What `put` returns, and the lanes in which mails became ready and no wake-up is on its way.
        """
        taken = at_once(self._intake.put(mails, wake=wake))
        if taken.now is not None:
            self._clock.set(taken.now)
        return taken.new, taken.lanes

    def claim(
        self, lanes: Sequence[Lane], limit: int, lease: float, mailer: str | None = None, slot: str = ""
    ) -> Claim:
        if limit < 1 or not lease > 0:
            raise ValueError(f"claim(): limit {limit!r} and lease {lease!r}, expected at least 1 mail and above 0 s")
        token = secrets.token_hex(8)
        names = [lane.value for lane in lanes]
        now, wait, lost, unreadable, endings, *found = self._calls.run(
            "claim", limit, lease, token, mailer or "", self._told_json, slot, *names
        )
        at = self._clock.set(now)
        for one in lost:
            tell_lost(one.decode())
        for one in unreadable:
            tell_unreadable(one.decode())
        contents: dict[str, bytes | None] = {}
        leased: list[Leased] = []
        for mail_id, its_token, doubt, record in found:
            name = mail_id.decode()
            try:
                mail, head = self._reader.mail_and_head(name, record, contents)
            except ValueError:
                self._reader.condemn(name)
                continue
            seat = slot if mail.mailer in self._sessions else ""
            standing = Standing(name, record[: record.find(b"\n")], head, seat)
            leased.append(Leased(mail, its_token.decode(), at + lease, bool(doubt), seat, standing))
        leased.sort(key=lambda one: one.mail.due_at)
        return Claim(tuple(leased), float(wait) if wait else None, tuple(map(self._ended, endings)))

    def _ended(self, told: Sequence[Any]) -> Ended:
        mail_id, row, state, group, attempts, reason = told
        lane, _, mailer = row.decode().partition("/")
        return Ended(
            mail_id=mail_id.decode(),
            mailer=mailer,
            lane=Lane(lane),
            group=group.decode() or None,
            state=State(state.decode()),
            attempts=int(attempts),
            reason=reason.decode(),
        )

    def has_ready(self, lanes: Sequence[Lane], slot: str = "") -> bool:
        return bool(self._look(lanes, 0.0, slot, beside_wake_ups=False))

    def leave(self, mailer: str, slot: str) -> None:
        key = f"{self._prefix}sessions:{mailer}"
        self._server.run(lambda client: client.zrem(key, slot))

    def waits(self, lanes: Sequence[Lane], ahead: float) -> dict[Lane, float]:
        """Return the seconds until each lane may need a worker, as far as anything may be ready in `ahead` seconds.

        0 where something is ready and nobody has been woken for it; where a wake-up is on its way, the time until it
        counts as lost. Where mail waits only for a seat, nobody has to be woken: who gives one up asks here again.
        """
        return self._look(lanes, ahead, "", beside_wake_ups=True)

    def _look(self, lanes: Sequence[Lane], ahead: float, slot: str, *, beside_wake_ups: bool) -> dict[Lane, float]:
        names = [lane.value for lane in lanes]
        now, strangers, *waits = self._calls.run(
            "ready", ahead, self._mailers_json, int(beside_wake_ups), self._sessions_json, slot, *names
        )
        self._clock.set(now)
        self.strangers = tuple(sorted(name.decode() for name in strangers))
        return {lane: float(wait) for lane, wait in zip(lanes, waits, strict=True) if wait}

    def wake(self, lane: Lane) -> bool:
        """Tell whether a worker has to be woken for a lane: no wake-up is on its way; from now on one is."""
        key = f"{self._prefix}wake:{lane.value}"
        return bool(self._server.run(lambda client: client.set(key, 1, nx=True, px=WAKE_FLAG)))

    def woken(self, lane: Lane) -> None:
        """Note that the wake-up for a lane has come: the next mail wakes again."""
        self._server.run(lambda client: client.delete(f"{self._prefix}wake:{lane.value}"))

    def step(self, done: tuple[Leased, Mapping[str, Outcome]] | None, following: Leased | None, lease: float) -> Step:
        to_done: tuple[Any, ...] | None = NOBODY
        if done is not None:
            to_done = standing_of(done[0]).to_done(self._packer.outcomes(done[1]))
        to_mark = NOBODY if following is None else standing_of(following).to_mark()
        if to_done is None or to_mark is None:
            is_done = done is not None and self.done(*done)
            return Made(is_done, following is not None and self.mark(following, lease))
        return SentStep(self, self._calls.start("step", lease, *to_done, *to_mark), done, following, lease)

    def mark(self, leased: Leased, lease: float) -> bool:
        standing_of(leased).lost_from_sight()
        return bool(self._calls.run("mark", leased.mail.id, leased.token, lease, *self._rates(leased), leased.slot))

    def renew(self, leased: Leased, lease: float) -> bool:
        return bool(self._calls.run("renew", leased.mail.id, leased.token, lease, leased.slot))

    def done(self, leased: Leased, outcomes: Mapping[str, Outcome]) -> bool:
        return self._say("done", leased, outcomes)

    def defer(self, leased: Leased, until: float, outcomes: Mapping[str, Outcome], *, resend: bool = False) -> bool:
        return self._say("defer", leased, outcomes, until=until, resend=resend)

    def snooze(self, leased: Leased, until: float) -> bool:
        return self._say("snooze", leased, {}, until=until)

    def bury(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str, *, keep: bool = False) -> bool:
        return self._say("bury", leased, outcomes, reason=reason, keep=keep)

    def hold(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str) -> bool:
        return self._say("hold", leased, outcomes, reason=reason)

    def drop(self, leased: Leased, reason: str) -> bool:
        return self._say("drop", leased, {}, reason=reason)

    def cancel(self, mail_id: str) -> bool:
        return self._reader.ask("cancel", mail_id)

    def replay(self, mail_id: str) -> bool:
        return self._reader.ask("replay", mail_id)

    def purge(self, mail_id: str) -> bool:
        return self._reader.ask("purge", mail_id)

    def get(self, mail_id: str) -> Mail | None:
        return self._reader.get(mail_id)

    def status(self, mail_id: str) -> MailStatus | None:
        return self._reader.status(mail_id)

    def since(self, state: State, start: int, stop: int) -> list[tuple[str, float]]:
        """Return a page of the ids that are DEAD or HELD, each with the time since when, oldest first."""
        return self._server.run(lambda client: places.since(client, self._prefix, state, start, stop))

    def beginning_with(self, state: State, beginning: str) -> list[tuple[str, float]]:
        """Return the ids that are DEAD or HELD and begin with these hexadecimal digits, with the times since when."""
        return self._server.run(lambda client: places.beginning_with(client, self._prefix, state, beginning))

    def statuses(self, mail_ids: Iterable[str]) -> Iterable[MailStatus]:
        """Yield what became of mails, those that are known, some hundred in each round trip."""
        return self._reader.statuses(mail_ids)

    def ids(self, state: State) -> list[str]:
        if state.is_finished:
            # What a cancelled group left is in no index of what is finished before that.
            while self.tidy():
                pass
        return [one.id for one in self._reader.in_state(state)]

    def stats(self) -> SpoolStats:
        self._bring_up_to_date()
        return self._tally.stats()

    def tidy(self) -> bool:
        """Forget some of what is past its retention and empty some of what cancelled groups left; True if more is left.

        `put` and `claim` do a little of that each time. In a spool where nothing comes or goes nobody would: call this once
        a minute. It costs a few commands while there is nothing to do.
        """
        return bool(self._calls.run("tidy", 1))

    def pause(self, mailer: str, reason: str = "") -> None:
        self._calls.run("pause", mailer, reason)

    def resume(self, mailer: str) -> None:
        self._calls.run("resume", mailer)

    def trip(self, mailer: str, backoff: Sequence[float], reason: str) -> float:
        if not backoff:
            raise ValueError("trip(): backoff is empty, expected at least one number of seconds")
        return float(self._calls.run("trip", mailer, reason, *backoff))

    def recover(self, mailer: str) -> None:
        self._calls.run("recover", mailer)

    def mailer_state(self, mailer: str) -> MailerState:
        return self._tally.mailer_state(mailer)

    def pause_group(self, group: str, reason: str = "") -> None:
        self._calls.run("pause_group", group, reason)

    def resume_group(self, group: str) -> None:
        self._calls.run("resume_group", group)

    def group_gate(self, group: str) -> GroupGate:
        return self._tally.group_gate(group)

    def cancel_group(self, group: str) -> None:
        self._calls.run("cancel_group", group)

    def status_of_group(self, group: str) -> Mapping[State, int]:
        self._bring_up_to_date()
        return self._tally.status_of_group(group)

    def _say(
        self,
        word: str,
        leased: Leased,
        outcomes: Mapping[str, Outcome],
        *,
        until: float = 0.0,
        resend: bool = False,
        reason: str = "",
        keep: bool = False,
    ) -> bool:
        said = encode(self._packer.outcomes(outcomes))
        how = (word, stamp(until), said, int(resend), self._packer.reason(reason), *self._rates(leased), int(keep))
        answer = self._calls.run("word", leased.mail.id, leased.token, *how)
        if answer == _HAS_STOPPED:
            tell_stopped(leased.mail.group)
        return bool(answer)

    def _rates(self, leased: Leased) -> tuple[Any, Any]:
        limits = self._limits.get(leased.mail.mailer, _NO_LIMITS)
        domain = limits.capped(leased.mail.domain)
        domain_rate = limits.domain_rate.get(domain) if domain is not None else None
        return (
            "" if limits.rate is None else repr(limits.rate),
            "" if domain_rate is None else repr(domain_rate),
        )

    def _bring_up_to_date(self) -> None:
        """Make the counts exact: end what has run out, forget what is past its retention.

        After a bulk of a million that may be a million mails at once: then the rest is left to the workers, and the counts
        have them until then.
        """
        for _ in range(_TIDINGS):
            if not self._calls.run("tidy", 0):
                break


def _plain(limits: Limits) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "burst": limits.burst,
        "domain_rate": dict(limits.domain_rate),
        "domain_concurrency": dict(limits.domain_concurrency),
    }
    shown |= {"rate": limits.rate} if limits.rate is not None else {}
    return shown | ({"sessions": limits.sessions} if limits.sessions is not None else {})
