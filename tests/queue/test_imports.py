"""What a process loads: a web process that enqueues never loads what delivers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.processes import Process, free_port

ENQUEUE = """
import sys
import mailworker
assert not any(name.startswith("mailworker.") and name != "mailworker.errors" for name in sys.modules), "import is lazy"
try:
    mailworker.send_mail("s", "b", "from@example.com", ["to@example.com"])
except mailworker.EnqueueError:
    pass
loaded = sorted(name for name in sys.modules if name.startswith(("mailworker.delivery", "mailworker.smtp", "mailworker.testing", "rich", "aiosmtpd", "fakeredis")))
print("loaded:", loaded)
"""


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_process_that_enqueues_loads_nothing_that_delivers(scheme: str, tmp_path: Path) -> None:
    env = {"MAILWORKER_BROKER_URL": f"{scheme}://127.0.0.1:{free_port()}//"[: None if scheme == "amqp" else -1]}
    with Process([sys.executable, "-c", ENQUEUE], env, tmp_path) as process:
        assert process.wait() == 0, process.output
        assert "loaded: []" in process.output
