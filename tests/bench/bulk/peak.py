"""`mailworker`, and at its end a line with the most memory that the process ever had and the processor time that it used.

    python -m tests.bench.bulk.peak bulk start NAME TEMPLATE ROWS --json

Nobody else can tell it exactly: what the kernel tells a parent of its child counts what the child was before it became this
program. Linux only.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from mailworker.cli import main


def figures() -> dict[str, float]:
    """Return the most resident memory of this process in bytes, and its seconds of processor time."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return {"peak": int(found[1]) * 1024, "cpu": time.process_time()}


if __name__ == "__main__":
    began = time.perf_counter()
    try:
        main()
    finally:
        print(json.dumps({"whole_seconds": time.perf_counter() - began} | figures()), flush=True)
