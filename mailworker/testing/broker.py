"""A private broker: a `redis-server` of its own where one is installed, else fakeredis in a process.

Both listen on a free port of 127.0.0.1, keep nothing on disk, and end with the process that started them.
"""

from __future__ import annotations

import shutil
import socket
import sys
from typing import TYPE_CHECKING

from mailworker.testing.part import Part, PartFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Another program may take a port between our finding it free and Redis's binding it.
_TRIES = 3


def program() -> str | None:
    """Return the path of `redis-server`, None if there is none."""
    return shutil.which("redis-server")


def start(folder: Path, environment: Mapping[str, str]) -> tuple[Part, str, str]:
    """Start a broker and wait until it takes connections.

    Args:
        folder: private folder.
        environment: of the process.

    Returns:
        The part, its URL, and what it is.

    Raises:
        PartFailed: it did not come up.
    """
    redis = program()
    if redis is None:
        return _fake(folder, environment)
    for left in reversed(range(_TRIES)):
        port = _free_port()
        part = Part("broker", [redis, *_options(port, folder)], folder, environment)
        try:
            part.wait_for(r"Ready to accept connections")
        except PartFailed:
            part.stop()
            if not left or "in use" not in part.said():
                raise
        except BaseException:
            part.stop()
            raise
        else:
            return part, f"redis://127.0.0.1:{port}/0", f"redis-server on 127.0.0.1:{port}"
    raise AssertionError


def _fake(folder: Path, environment: Mapping[str, str]) -> tuple[Part, str, str]:
    part = Part("broker", [sys.executable, "-m", "mailworker.testing.fake_broker"], folder, environment)
    try:
        port = part.wait_for(r"listening on 127\.0\.0\.1:(\d+)\n")[1]
    except BaseException:
        part.stop()
        raise
    return part, f"redis://127.0.0.1:{port}/0", f"fakeredis on 127.0.0.1:{port}"


def _options(port: int, folder: Path) -> list[str]:
    shown = {"--port": port, "--bind": "127.0.0.1", "--dir": folder, "--save": "", "--appendonly": "no"}
    shown |= {"--daemonize": "no", "--loglevel": "notice", "--logfile": ""}
    return [str(word) for pair in shown.items() for word in pair]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
