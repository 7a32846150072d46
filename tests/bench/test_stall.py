"""The bench of the loop's stalls runs, and its ticker sees a stall."""

from __future__ import annotations

import asyncio
import re
import sys
import time

import pytest

from tests.bench.stall import Ticker
from tests.processes import Process


def test_a_ticker_is_late_by_what_holds_the_loop_up() -> None:
    async def scene() -> tuple[float, float, float]:
        ticker = Ticker()
        ticking = asyncio.create_task(ticker.run())
        await asyncio.sleep(0)
        ends = time.thread_time() + 0.05
        while time.thread_time() < ends:
            pass
        # The ticker is due, and has the next round; with what it sees then, it is asked.
        await asyncio.sleep(0.002)
        seen, after = ticker.taken(), ticker.taken()
        ticking.cancel()
        return seen.worst, seen.busiest, after.worst

    worst, busiest, after = asyncio.run(scene())
    assert worst >= 48
    assert busiest >= 49
    assert after == 0


@pytest.mark.integration
def test_it_prints_what_it_saw_for_both_pages() -> None:
    argv = [sys.executable, "-m", "tests.bench.stall", "--clients", "3", "--requests", "2", "--rounds", "1"]
    with Process(argv) as bench:
        assert bench.wait() in (0, 1), bench.output
        assert re.search(r"(?m)^/plain +\d+ +\d+\.\d", bench.output), bench.output
        assert re.search(r"(?m)^/mail +\d+ +\d+\.\d", bench.output), bench.output
        assert re.search(r"worst with mail \d+\.\d ms, without \d+\.\d ms", bench.output)
