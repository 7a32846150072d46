"""How mails come into a RedisSpool: in pipelines of bounded size, and each large piece of content once.

A mail is first put without its contents, for most of them are there already or come with another mail of the same
pipeline; those that are lacking are brought by a second one. It is one for clients of both kinds (`at_once`). It decides neither what is due nor who has to be woken. A call that
raises has taken in what earlier pipelines held, and perhaps what its last one did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mailworker.lane import Lane
from mailworker.spool.base import Limits
from mailworker.spool.calls import Runs
from mailworker.spool.packed import Packer, stamp
from mailworker.spool.record import Content, Mail

T = TypeVar("T")

#: Mails, and bytes, that one pipeline takes in: what is unknown if its answer is lost.
_MAX_PIPELINE, _MAX_PIPELINE_BYTES = 100, 4 * 2**20

#: Milliseconds after which a wake-up that nobody heard no longer stands for a worker on its way.
WAKE_FLAG = 1000

_NO_LIMITS = Limits()

#: What `put_plain` answers for an id that is known.
_ASK_PUT = -2


@dataclass(slots=True)
class Taken:
    """What came of mails that were put.

    Attributes:
        new: for each mail whether it was not known.
        lanes: those in which mails became ready and no wake-up is on its way.
        now: the server's time as the last answer had it, None without any.
    """

    new: list[bool] = field(default_factory=list)
    lanes: set[Lane] = field(default_factory=set)
    now: bytes | None = None


class Intake:
    """Takes mails in.

    Args:
        runs: runs the scripts.
        packer: writes the records.
        limits: mailer -> what it allows.
        replicas: how many replicas must have a mail.
        replica_timeout: seconds to wait for them.
    """

    def __init__(
        self, runs: Runs, packer: Packer, limits: Mapping[str, Limits], replicas: int, replica_timeout: float
    ) -> None:
        self._runs = runs
        self._packer = packer
        self._limits = limits
        self._replicas = replicas
        self._replica_timeout = replica_timeout

    async def put(self, mails: Iterable[Mail], *, wake: bool) -> Taken:
        """Take mails in; of a generator, no more than one pipeline is held at a time.

        Args:
            mails: any number.
            wake: set the flag of a lane that has no wake-up on its way.

        Raises:
            SpoolUnavailable: the server is away, or refuses.
        """
        taken = Taken()
        # Without its contents, a mail weighs what its payload does.
        for pipeline in pipelines(mails, lambda mail: len(mail.payload)):
            await self._put(pipeline, taken, wake=wake)
        return taken

    async def _put(self, mails: Sequence[Mail], taken: Taken, *, wake: bool) -> None:
        answers = await self._first(mails, wake=wake)
        lacking = [place for place, answer in enumerate(answers) if answer[0] < 0]
        # What needs a content that is not there yet: once more, the first that has it brings it for all. If that one went at
        # once (its group is cancelled) and took it along, each of the others brings its own.
        for is_last in (False, True):
            came: set[str] = set()
            for batch in _by_bytes(mails, lacking):
                arguments = []
                for place in batch:
                    bring = [one for one in mails[place].contents if is_last or one.name not in came]
                    came.update(one.name for one in bring)
                    arguments.append(self._arguments(mails[place], wake=wake, bring=bring))
                for place, answer in zip(batch, await self._run(arguments), strict=True):
                    answers[place] = answer
            lacking = [place for place in lacking if answers[place][0] < 0]
        for mail, (is_new, has_to_wake, now) in zip(mails, answers, strict=True):
            assert is_new >= 0, "it brought all that it needs"
            taken.new.append(bool(is_new))
            if has_to_wake:
                taken.lanes.add(mail.lane)
            taken.now = now

    async def _first(self, mails: Sequence[Mail], *, wake: bool) -> list[Any]:
        """Put mails in without their contents, and return the answers."""
        if any(mail.group is not None or mail.contents for mail in mails):
            return await self._run([self._arguments(mail, wake=wake) for mail in mails])
        answers = await self._run([self._plain_arguments(mail, wake=wake) for mail in mails], "put_plain")
        known = [place for place, answer in enumerate(answers) if answer[0] == _ASK_PUT]
        again = [self._arguments(mails[place], wake=wake) for place in known]
        for place, answer in zip(known, await self._run(again), strict=True):
            answers[place] = answer
        return answers

    async def _run(self, arguments: Sequence[tuple[Any, ...]], script: str = "put") -> list[Any]:
        if not arguments:
            return []
        if len(arguments) == 1 and not self._replicas:
            # redis-py's pipeline costs 35 us, half as much as the whole round trip.
            return [await self._runs.run(script, *arguments[0])]
        return await self._runs.run_many(script, arguments, self._replicas, self._replica_timeout)

    def _plain_arguments(self, mail: Mail, *, wake: bool) -> tuple[Any, ...]:
        capped = self._limits.get(mail.mailer, _NO_LIMITS).capped(mail.domain)
        head, flag = self._packer.head(mail, capped), WAKE_FLAG if wake else 0
        place = (mail.lane.value, mail.mailer, capped or "")
        return mail.id, stamp(mail.due_at), flag, head, mail.payload, *place, stamp(mail.created_at)

    def _arguments(self, mail: Mail, *, wake: bool, bring: Sequence[Content] = ()) -> tuple[Any, ...]:
        head = self._packer.head(mail, self._limits.get(mail.mailer, _NO_LIMITS).capped(mail.domain))
        brought = [part for content in bring for part in (content.name, content.stored)]
        flag = WAKE_FLAG if wake else 0
        return mail.id, stamp(mail.due_at), flag, head, mail.payload, len(bring), *brought


def pipelines(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield items, as many at a time as one pipeline takes; consumed as they are yielded.

    Args:
        items: any number.
        size: bytes of one.
    """
    pipeline: list[T] = []
    total = 0
    for item in items:
        weight = size(item)
        if pipeline and (len(pipeline) >= _MAX_PIPELINE or total + weight > _MAX_PIPELINE_BYTES):
            yield pipeline
            pipeline, total = [], 0
        pipeline.append(item)
        total += weight
    if pipeline:
        yield pipeline


def _by_bytes(mails: Sequence[Mail], which: Sequence[int]) -> Iterator[list[int]]:
    """Yield these places of mails, as many at a time as one pipeline takes with all that they may bring."""
    batch: list[int] = []
    names: set[str] = set()
    size = 0
    for place in which:
        new = [one for one in mails[place].contents if one.name not in names]
        weight = len(mails[place].payload) + sum(len(one.stored or b"") for one in new)
        if batch and size + weight > _MAX_PIPELINE_BYTES:
            yield batch
            batch, names, size = [], set(), 0
        batch.append(place)
        names.update(one.name for one in new)
        size += weight
    if batch:
        yield batch
