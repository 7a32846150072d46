"""Backends of other people, as the worker meets them: they know no journal and report no outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class ForeignBackend:
    """Sends by calling what it was given, and counts what is done to it.

    Args:
        send: called with each message; what it returns is the count, what it raises is the failure.
        on_open: called by `open`.
    """

    def __init__(
        self, send: Callable[[Any], int | None] = lambda _: 1, on_open: Callable[[], None] = lambda: None
    ) -> None:
        self._send = send
        self._on_open = on_open
        #: As some backends have it; None is what the worker takes for nothing said.
        self.max_idle: Any = None
        self.opened = 0
        self.closed = 0
        self.sizes: list[int] = []
        self.sent: list[Any] = []

    def open(self) -> bool:
        self._on_open()
        self.opened += 1
        return True

    def close(self) -> None:
        self.closed += 1

    def send_messages(self, messages: Sequence[Any]) -> int | None:
        self.sizes.append(len(messages))
        count = self._send(messages[0])
        self.sent.append(messages[0])
        return count
