"""Many seeds, and the proof that a seed is the same whenever and wherever it is run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.campaign import CHUNK, run, run_chunk, story

ROOT = Path(__file__).parents[2]

#: `python -m tests.simulation --seeds 1000000` runs more.
SEEDS = range(1_500)

#: What a chunk of seeds must have come to, or its schedules are too tame to prove anything.
MUST_BE_REACHED = {
    "a second copy",
    "a mark is refused",
    "a lease is renewed",
    "a word is said again",
    "a late word brings an acceptance",
    "a claim is in doubt",
    "a worker dies before it has recorded a copy",
    "a lease runs out before a copy is recorded",
    "a mail is replayed",
    "all sessions are open",
    "a seat is given up",
    "a seat runs out beside an open session",
    "an envelope goes ahead of its mark",
    "a step marks the next mail behind its envelope",
    "a step marks the next mail before its envelope",
    "a step is cut: done is made, the mark is not",
    "the answer to a whole step is lost",
    "a mark is refused behind its envelope: its group is cancelled",
    "a mark is refused behind its envelope: its lease is lost",
    "a word is said of a mail that has ended",
    *(f"a mail is {state}" for state in ("sent", "dead", "dropped", "cancelled", "expired", "held", "due", "leased")),
}


@pytest.mark.parametrize(
    "seeds", [SEEDS[at : at + CHUNK] for at in SEEDS[::CHUNK]], ids=lambda seeds: f"{seeds.start}-"
)
def test_every_promise_is_kept_after_every_step_of_every_seed(seeds):
    chunk = run_chunk(seeds)
    assert chunk.failed is None, story(chunk.failed)
    assert chunk.seeds == CHUNK
    assert {what for what, times in chunk.reached.items() if times} >= MUST_BE_REACHED


DIGEST = """
from tests.simulation.campaign import story
import hashlib
print(hashlib.sha256("".join(story(seed) for seed in range(40)).encode()).hexdigest())
"""


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_takes_the_same_course_in_every_process(hash_seed):
    there = subprocess.run(
        [sys.executable, "-c", DIGEST],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
    )
    here = hashlib.sha256("".join(story(seed) for seed in range(40)).encode()).hexdigest()
    assert there.stdout.strip() == here, there.stderr


def test_a_seed_takes_the_same_course_with_and_without_its_log():
    for seed in range(40):
        without, with_log = run(seed), run(seed, keeps_log=True)
        assert (without.steps, without.reached) == (with_log.steps, with_log.reached)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_the_command_says_how_many_seeds_kept_all_promises():
    done = command("--seeds", "300", "--from", "7", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "300 seeds from 7 on" in done.stdout


def test_the_command_fails_with_the_story_of_the_seed_that_broke_a_promise_and_that_replays_it():
    broken = command("--seeds", "500", "--jobs", "1", "--mutant", "the mark is left out")
    assert broken.returncode == 1
    *_, end, again = broken.stdout.splitlines()
    seed = end.removeprefix("seed ").partition(":")[0]
    assert again == f'again: python -m tests.simulation --seed {seed} -v --mutant "the mark is left out"'
    replayed = command("--seed", seed, "-v", "--mutant", "the mark is left out")
    assert replayed.returncode == 1
    assert replayed.stdout == broken.stdout
