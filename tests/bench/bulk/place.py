"""Where a bulk is measured: a folder with a list and its templates, a Redis that keeps nothing on disk, and a relay.

The relay is Postfix's smtp-sink where it is to be had, else a server of ours in a thread of this process. All that was started
is ended, whatever happens.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from mailworker.spool.bulk import Bulk
from mailworker.spool.redis import RedisSpool
from tests.bench.child import Child, ChildError
from tests.bench.postfix import Postfix
from tests.bench.receiver import Receiver, smtp_sink
from tests.bulk_letter import environment, write_templates
from tests.chaos.sink import Sink
from tests.direct import Direct
from tests.processes import RedisServer

#: Of the one bulk of a place.
BULK = "newsletter"

#: Seconds that a million rows may take on a slow machine.
PATIENCE = 3600.0

#: Seconds between two looks at how far it is.
_LOOK = 0.2


@dataclass
class Place:
    """Where a bulk is measured.

    Attributes:
        folder: for the list and the logs.
        receiver: the relay.
        env: for every process.
        client: of its Redis.
    """

    folder: Path
    receiver: Receiver
    env: dict[str, str]
    client: redis.Redis

    @property
    def rows(self) -> Path:
        """The file of the list."""
        return self.folder / "rows.csv"

    def used(self) -> int:
        """Return the bytes that Redis needs for what it holds."""
        memory: dict[str, Any] = self.client.info("memory")
        return int(memory["used_memory"])

    def bulk(self) -> Bulk:
        """Return how the bulk stands."""
        found = RedisSpool(Direct(self.client), "mailworker").bulks.get(BULK)
        assert found is not None
        return found

    def fill(self, letter: str, *options: str) -> dict[str, Any]:
        """Start the bulk by the command line; return what the process told of the rows and of itself.

        Raises:
            ChildError: it did not end well.
        """
        log = self.folder / "producer.log"
        argv = [sys.executable, "-m", "tests.bench.bulk.peak", "bulk", "start", BULK, letter, str(self.rows), "--json"]
        with Child([*argv, *options], self.env, log) as producer:
            producer.wait(PATIENCE)
        said = log.read_text()
        try:
            filled, end = json.JSONDecoder().raw_decode(said, said.index("{"))
            return {**filled, **json.loads(said[end:])}
        except ValueError as error:
            raise ChildError(f"{' '.join(argv)} told nothing that can be read: {said[-2000:]}") from error

    @contextmanager
    def worker(self, *options: str) -> Iterator[Child]:
        """Run a worker that is ready."""
        argv = [sys.executable, "-m", "mailworker", "worker", *options]
        with Child(argv, self.env, self.folder / "worker.log") as worker:
            worker.wait_for(r" ready\.")
            yield worker

    def settle(self, worker: Child) -> None:
        """Wait until no mail of the bulk is left.

        Raises:
            ChildError: the worker has ended.
        """
        while self.bulk().left:
            if not worker.is_running:
                raise ChildError(f"the worker has ended: {worker.what_it_said()}")
            time.sleep(_LOOK)


@contextmanager
def opened(postfix: Postfix | None, seconds: float = 0.0) -> Iterator[Place]:
    """Make a place.

    Args:
        postfix: where smtp-sink is; None for a relay of ours.
        seconds: that a relay of ours takes for a mail.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailworker-bulk-")))
        receiver: Receiver
        if postfix is None:
            receiver = stack.enter_context(Sink(seconds, pipelines=True))
        else:
            receiver = stack.enter_context(smtp_sink(postfix, folder))
        server = stack.enter_context(RedisServer())
        client = redis.Redis(port=server.port)
        stack.callback(client.close)
        env = {
            **environment(write_templates(folder)),
            "MAILWORKER_BROKER_URL": server.url,
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(receiver.port),
            # Heartbeats, lock files and the like.
            "TMPDIR": str(folder),
        }
        yield Place(folder, receiver, env, client)
