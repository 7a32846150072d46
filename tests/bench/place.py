"""Where one run happens: a folder, a Redis that keeps what the scenario says, a receiver and the way to it; all of it new.

Nothing of a run is left for the next one, and all that was started is ended, whatever happens.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import redis

from tests.bench import receiver as receivers
from tests.bench.letters import SENDER
from tests.bench.postfix import Postfix
from tests.bench.receiver import Receiver
from tests.processes import RedisServer

#: Seconds of a round trip in scenarios that are far.
ROUND_TRIP = 0.02

_USER = "shop"
_PASSWORD = "a password of 24 letters"


class Road(StrEnum):
    """The way to the receiver."""

    NEAR = "near"
    FAR = "20 ms away"
    TLS = "STARTTLS, AUTH"


class Kept(StrEnum):
    """What Redis has on disk when it answers."""

    NONE = "none"
    EVERYSEC = "everysec"
    ALWAYS = "always"


@dataclass
class Place:
    """Where a run happens.

    Attributes:
        folder: for whatever is on disk.
        server: a Redis, if it is wanted.
        receiver: who counts the mails.
        env: for every process: where the relay is, how it is spoken to, where Redis and a database are.
    """

    folder: Path
    server: RedisServer | None
    receiver: Receiver
    env: dict[str, str]

    def redis(self) -> redis.Redis:
        """Return a client of its Redis."""
        assert self.server is not None
        return redis.Redis(port=self.server.port)


@contextmanager
def opened(postfix: Postfix, road: Road, kept: Kept | None) -> Iterator[Place]:
    """Make a place.

    Args:
        postfix: where smtp-sink is.
        road: the way to the receiver.
        kept: what Redis keeps; None for no Redis.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailworker-bench-")))
        env = {
            "EMAIL_HOST": "127.0.0.1",
            "DEFAULT_FROM_EMAIL": SENDER,
            "BENCH_FOLDER": str(folder),
            # Heartbeats, lock files and the like.
            "TMPDIR": str(folder),
        }
        receiver: Receiver
        if road is Road.TLS:
            certificate, authority = _certificate(folder)
            receiver = stack.enter_context(receivers.tls_server(folder, certificate))
            env |= {
                "EMAIL_USE_TLS": "true",
                "EMAIL_HOST_USER": _USER,
                "EMAIL_HOST_PASSWORD": _PASSWORD,
                # The one authority that every contender trusts, and faster to load than the system's hundred and forty.
                "SSL_CERT_FILE": str(authority),
            }
        else:
            receiver = stack.enter_context(receivers.smtp_sink(postfix, folder))
        port = receiver.port
        if road is Road.FAR:
            port = stack.enter_context(receivers.far(port, folder, ROUND_TRIP))
        env["EMAIL_PORT"] = str(port)
        server = None
        if kept is not None:
            server = stack.enter_context(RedisServer(*_options(kept)))
            env |= {"MAILWORKER_BROKER_URL": server.url, "BENCH_BROKER": server.url}
        yield Place(folder, server, receiver, env)


def _options(kept: Kept) -> list[str]:
    if shutil.which("redis-server") is None:
        raise RuntimeError("redis-server is not installed; what stands in for it in tests says nothing about speed")
    return [] if kept is Kept.NONE else ["--appendonly", "yes", "--appendfsync", kept.value]


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Return files: certificate with key of a server on 127.0.0.1, and the authority that has signed it."""
    import trustme

    authority = trustme.CA()
    both, trusted = folder / "server.pem", folder / "authority.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(both))
    authority.cert_pem.write_to_path(str(trusted))
    return both, trusted
