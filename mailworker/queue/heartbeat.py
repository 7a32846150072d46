"""A file that says "this host's worker is alive and looking", and the question whether it does.

The worker's main process touches it from its consumer's own loop, so a process that hangs, or one that has lost its
broker and does not find back, stops. Looking at a file costs nothing (`inspect ping` costs 0.3 s of CPU, facts.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds between two beats.
INTERVAL = 2.0

#: Seconds after which a worker without a beat counts as stuck: several beats, or a message that takes long in the solo pool.
MAX_AGE = 30.0


@dataclass(frozen=True, slots=True)
class Beat:
    """What one worker has said of itself last.

    Attributes:
        pid: of its main process.
        name: its node name.
        age: seconds since then.
        is_alive: its process exists, and the beat is not too old.
    """

    pid: int
    name: str
    age: float
    is_alive: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {"pid": self.pid, "name": self.name, "age": round(self.age, 1), "alive": self.is_alive}


@dataclass(slots=True)
class _Self:
    pid: int
    namespace: str
    name: str
    beaten_at: float


#: The worker whose main process this is, None if it is none.
_self: _Self | None = None


def directory(namespace: str) -> Path:
    """Return where this user's workers of a namespace keep their beats."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    # Two programs on one host may use one namespace with different users; a directory of one is not the other's.
    mark = hashlib.sha256(f"{os.getuid()}:{namespace}".encode()).hexdigest()[:12]
    return Path(base) / f"mailworker-{namespace}-{mark}"


def beat(namespace: str, name: str) -> None:
    """Write this process's beat; a full or read-only disk stops no mail."""
    folder = directory(namespace)
    path = folder / f"{os.getpid()}.json"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"pid": os.getpid(), "name": name, "at": time.time()}))
        fresh.replace(path)


def begin(namespace: str, name: str) -> None:
    """Begin to beat for a worker whose main process this is."""
    global _self
    _self = _Self(os.getpid(), namespace, name, time.monotonic())
    beat(namespace, name)


def between_messages() -> None:
    """Beat from a task that runs in the main process's own thread: the solo pool, whose loop stands still meanwhile.

    From anywhere else it does nothing: a thread or a child that works says nothing about the loop.
    """
    if _self is None or _self.pid != os.getpid() or threading.current_thread() is not threading.main_thread():
        return
    now = time.monotonic()
    if now - _self.beaten_at >= INTERVAL:
        _self.beaten_at = now
        beat(_self.namespace, _self.name)


def end(namespace: str) -> None:
    """Remove this process's beat: it has stopped in order."""
    with contextlib.suppress(OSError):
        (directory(namespace) / f"{os.getpid()}.json").unlink(missing_ok=True)


def beats(namespace: str, max_age: float = MAX_AGE) -> list[Beat]:
    """Return what the workers of this host and user have said last, living ones first.

    Args:
        namespace: MAILWORKER_NAMESPACE of the workers.
        max_age: seconds after which one counts as stuck.
    """
    found: list[Beat] = []
    for path in directory(namespace).glob("*.json"):
        try:
            said = json.loads(path.read_text())
            age = time.time() - float(said["at"])
            # A beat from the future is as old: the clock was set back, and nobody has beaten since.
            alive = abs(age) <= max_age and _exists(int(said["pid"]))
            found.append(Beat(int(said["pid"]), str(said["name"]), age, alive))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda one: (not one.is_alive, one.age))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
