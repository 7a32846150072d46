"""The short way to a Redis for tests and benches: a client, without anything around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

T = TypeVar("T")


class Direct:
    """A way to one Redis."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, call: Callable[[redis.Redis], T]) -> T:
        return call(self.client)

    def start(self, *words: Any) -> Later:
        return Later(self, words)

    def close(self) -> None:
        self.client.close()


@dataclass(frozen=True, slots=True)
class Later:
    """A command that is said when its answer is asked for."""

    way: Direct
    words: tuple[Any, ...]

    def answer(self) -> Any:
        return self.way.run(lambda client: client.execute_command(*self.words))
