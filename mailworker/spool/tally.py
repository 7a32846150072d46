"""How many mails a RedisSpool has in which state, and which gates are shut: for people, and for what watches a queue.

Counts come from counters that the scripts keep, never from a look at the mails. Any call may raise `SpoolUnavailable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailworker.lane import Lane
from mailworker.spool.base import GroupGate, MailerState, SpoolStats
from mailworker.spool.calls import Calls, Primary
from mailworker.spool.record import State

#: What a group's hash has if it is shut; of several, the first counts.
_SHUT: tuple[GroupGate, ...] = ("cancelled", "paused", "filling")


class Tally:
    """Counts, and looks at gates.

    Args:
        server: leads to the Redis.
        prefix: what all keys begin with.
        calls: runs the scripts.
        sessions: mailer -> sessions that it may have, of those that are limited.
    """

    def __init__(self, server: Primary, prefix: str, calls: Calls, sessions: Mapping[str, int]) -> None:
        self._server = server
        self._prefix = prefix
        self._calls = calls
        self._sessions = sessions

    def stats(self) -> SpoolStats:
        """Return what the whole spool has."""
        now, counts, oldest, *mailers = self._calls.run("stats")
        found: dict[tuple[str, Lane, State], int] = {}
        later: dict[tuple[str, Lane], int] = {}
        for field, number in zip(counts[::2], counts[1::2], strict=True):
            lane, mailer, state = field.decode().split("/")
            if not int(number):
                continue
            if state == "later":
                later[mailer, Lane(lane)] = int(number)
            else:
                found[mailer, Lane(lane), State(state)] = int(number)
        names = sorted({name.decode() for some in mailers for name in some})
        gates = self._calls.run_many("gate", [(name, int(name in self._sessions)) for name in names])
        members: Any = self._server.run(lambda client: client.smembers(f"{self._prefix}shut"))
        shut = sorted(group.decode() for group in members)
        return SpoolStats(
            counts=found,
            oldest_due_age=float(now) - float(oldest) if oldest and float(oldest) <= float(now) else None,
            mailers={name: _mailer_state(answer) for name, answer in zip(names, gates, strict=True)},
            groups={group: gate for group in shut if (gate := self.group_gate(group)) != "open"},
            later=later,
        )

    def mailer_state(self, mailer: str) -> MailerState:
        """Return how a mailer's gate stands."""
        return _mailer_state(self._calls.run("gate", mailer, int(mailer in self._sessions)))

    def group_gate(self, group: str) -> GroupGate:
        """Return how a group's gate stands."""
        names = set(self._calls.run("group", group)[::2])
        for gate in _SHUT:
            if gate.encode() in names:
                return gate
        return "open"

    def status_of_group(self, group: str) -> Mapping[State, int]:
        """Return how many mails of a group are in which state."""
        fields = self._calls.run("group", group)
        known = {name.decode(): value for name, value in zip(fields[::2], fields[1::2], strict=True)}
        counts = {State(name[2:]): int(number) for name, number in known.items() if name.startswith("n:")}
        return {state: number for state, number in counts.items() if number}


def _mailer_state(answer: Any) -> MailerState:
    now, fields, taken = answer
    gate = {name.decode(): value.decode() for name, value in zip(fields[::2], fields[1::2], strict=True)}
    until = float(gate.get("pause", 0))
    why = gate.get("why", "") if "person" in gate else ""
    return MailerState(
        paused_until=until if until > float(now) else None,
        paused_by_person="person" in gate,
        failures=int(gate.get("failures", 0)),
        reason=why or gate.get("cause", ""),
        sessions=int(taken),
    )
