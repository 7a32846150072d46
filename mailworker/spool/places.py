"""Where the indexes of a RedisSpool have its mails: for lists that people ask for, and for a mail whose record is damaged.

An index tells row, stream and state of a mail without its record, so that what cannot be read can be taken out of the books.
It reads whole indexes and belongs to no path that a worker's mail takes. It changes nothing; a mail may have moved on
by the time its place is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mailworker.spool.record import State

#: Members of an index that the server looks through in one round trip.
_SCAN = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where one mail is.

    Attributes:
        id: its id.
        state: in the index of which state; a finished one's may have changed since.
        row: lane and mailer.
        stream: its stream.
        entry: of the list of what is finished, if it is there.
    """

    id: str
    state: State
    row: str
    stream: str
    entry: str = ""


def places(client: Any, prefix: str, state: State) -> Iterator[Place]:
    """Yield the places of the mails that an index has in a state, some of which may be in another one by now.

    Args:
        client: of the Redis.
        prefix: what all keys begin with.
        state: any of those that an index is for; the list of what is finished is one for all its states.
    """
    if state in (State.DEAD, State.HELD):
        for place in client.zrange(f"{prefix}{state.value}", 0, -1):
            mail_id, row, stream = place.decode().split("\n", 2)
            yield Place(mail_id, state, row, stream)
    elif state.is_finished:
        for entry in client.lrange(f"{prefix}finished", 0, -1):
            _, mail_id, row, ended, group = entry.decode().split("\n", 4)
            yield Place(mail_id, State(ended), row, f"/{group}", entry.decode())
    else:
        # While it was looked for, one that is due may have been leased, and the other way round.
        for row in sorted({field.rsplit(b"/", 1)[0].decode() for field in client.hkeys(f"{prefix}count")}):
            for lease in client.zrange(f"{prefix}leases:{row}", 0, -1):
                mail_id, _, stream = lease.decode().partition("\n")
                yield Place(mail_id, State.LEASED, row, stream or "/")
            for stream in sorted(one.decode() for one in client.smembers(f"{prefix}streams:{row}")):
                for mail_id in client.zrange(f"{prefix}due:{row}:{stream}", 0, -1):
                    yield Place(mail_id.decode(), State.DUE, row, stream)


def place_of(client: Any, prefix: str, mail_id: str) -> Place | None:
    """Return the place of one mail, None if no index has it."""
    for state in (State.DEAD, State.HELD, State.DUE, State.SENT):
        for place in places(client, prefix, state):
            if place.id == mail_id:
                return place
    return None


def since(client: Any, prefix: str, state: State, start: int, stop: int) -> list[tuple[str, float]]:
    """Return a page of the mails that are dead or held, each with the time since when, oldest first.

    Args:
        client: of the Redis.
        prefix: what all keys begin with.
        state: DEAD or HELD.
        start: place of the first one, from 0.
        stop: place behind the last one.
    """
    return [_dated(one) for one in client.zrange(f"{prefix}{state.value}", start, stop - 1, withscores=True)]


def beginning_with(client: Any, prefix: str, state: State, beginning: str) -> list[tuple[str, float]]:
    """Return the mails that are dead or held and whose ids begin so, as `since` does; the server looks at all of them.

    Args:
        client: of the Redis.
        prefix: what all keys begin with.
        state: DEAD or HELD.
        beginning: hexadecimal digits.
    """
    found = client.zscan_iter(f"{prefix}{state.value}", match=f"{beginning}*", count=_SCAN)
    # While an index grows, a scan may meet a member twice.
    return list(dict(_dated(one) for one in found).items())


def _dated(member: tuple[bytes, float]) -> tuple[str, float]:
    return member[0].split(b"\n", 1)[0].decode(), float(member[1])
