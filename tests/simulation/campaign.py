"""Many seeds: run in chunks, in one process or several, until one of them breaks a promise; and the story of that one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from tests.simulation.mutants import BY_NAME
from tests.simulation.schedule import Result, silence, simulate

#: Seeds that one call of a process runs: a second or so.
CHUNK = 250


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of some seeds in a row.

    Attributes:
        seeds: how many were run.
        failed: the first that broke a promise; none was run after it.
        reached: what they have come to, and how often.
    """

    seeds: int
    failed: int | None = None
    reached: Counter[str] = field(default_factory=Counter)


def run(seed: int, mutant: str | None = None, *, keeps_log: bool = False) -> Result:
    """Run one seed, on the code as it is or on a mutant of it."""
    with silence():
        if mutant is None:
            return simulate(seed, keeps_log=keeps_log)
        return BY_NAME[mutant].simulate(seed, keeps_log=keeps_log)


def run_chunk(seeds: range, mutant: str | None = None) -> Chunk:
    """Run seeds until one breaks a promise."""
    reached: Counter[str] = Counter()
    for number, seed in enumerate(seeds, 1):
        result = run(seed, mutant)
        if result.broken is not None:
            return Chunk(number, seed, reached)
        reached.update(result.reached)
    return Chunk(len(seeds), None, reached)


def campaign(seeds: range, jobs: int, mutant: str | None = None) -> Iterator[Chunk]:
    """Run seeds in several processes; what came of each chunk, as it comes."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    one = partial(run_chunk, mutant=mutant)
    if jobs == 1:
        yield from map(one, chunks)
        return
    # Not forked: the bar of the command has a thread.
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(one, chunks)


def story(seed: int, mutant: str | None = None) -> str:
    """Tell what happens in one seed, step by step, how it ends, and how to see it again."""
    result = run(seed, mutant, keeps_log=True)
    end = "all promises are kept" if result.broken is None else str(result.broken)
    option = "" if mutant is None else f' --mutant "{mutant}"'
    return "\n".join(
        [
            f"seed {seed}: step, seconds, who, what",
            *(result.log or ()),
            f"seed {seed}: {end}",
            f"again: python -m tests.simulation --seed {seed} -v{option}",
        ]
    )
