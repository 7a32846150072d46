"""What holds for all tests."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

# Where nothing that is compiled may be kept, each of the hundreds of processes that tests start compiles the package anew, and
# each process of pytest rewrites the asserts of every test.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that is not interactive starts its background jobs with SIGINT ignored, and whatever they start inherits that;
# tests that interrupt a process would wait for ever. A handler of our own is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at once with `-n auto`: more than there are cores, since many wait for servers and workers."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)
