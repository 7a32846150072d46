"""A relay for measurements: takes every mail after a set time, and notes when it said 250, and to whom.

Plain asyncio in a thread of its own; it offers nothing but what every server has.
"""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Self


class Relay:
    """A relay on a free port of this machine.

    Args:
        seconds: that each mail takes, between the final dot and its 250.

    Attributes:
        taken: recipient -> when its mail was taken, by `time.monotonic()`.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.taken: dict[str, float] = {}
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        # Of sessions that are cut off in the middle nobody wants to hear.
        self._loop.set_exception_handler(lambda *_: None)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        try:
            writer.write(b"220 bench\r\n")
            while line := await reader.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    await asyncio.sleep(self.seconds)
                    now = time.monotonic()
                    self.taken.update(dict.fromkeys(recipients, now))
                    recipients = []
                elif word == b"RCPT":
                    recipients.append(line.decode().partition("<")[2].partition(">")[0])
                elif word == b"QUIT":
                    break
                writer.write(b"250 ok\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
