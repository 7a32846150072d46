"""How long a web server's event loop is held up while mail is enqueued: `python -m tests.bench.stall`.

A Starlette application behind uvicorn, in a process of its own, answers 200 clients of another process, each of which asks again up to
50 ms after it had its answer, so that they are not in step. They ask for a page without mail, and for one that awaits
`asend_mail`, in turns; with mail the server is busy all the time, and nearly all of the 200 wait. Meanwhile a ticker in the
server's loop sleeps for a millisecond at a time and notes how late it is woken: that is how long any other request would have
waited. Lateness is wall time, so it holds what the machine gives to others; the processor time that the loop's thread
used between two ticks is beside it, for that is what the program itself did. The goal is a worst lateness below 20 ms.

Much of it is Python's collector of garbage, which goes through all that 200 waiting requests hold: `--gc 0` measures without it, and
`--gc 2000,5,100` with other thresholds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import mailworker
from mailworker.contrib.starlette import lifespan
from tests.processes import Process, RedisServer, free_port

#: Milliseconds of the worst lateness.
GOAL = 20.0

#: Names the collector's thresholds to the server.
_GC = "STALL_GC"

#: Seconds that the ticker sleeps.
_TICK = 0.001

#: Seconds after which a client asks again, at most.
_PAUSE = 0.05


@dataclass(frozen=True)
class Figures:
    """What a ticker has seen: milliseconds by which it was late and that the thread was busy, and ticks."""

    worst: float
    late_999: float
    late_99: float
    busiest: float
    ticks: int


class Ticker:
    """Measures its own lateness."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._busy: list[float] = []

    async def run(self) -> None:
        while True:
            began, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_TICK)
            self._late.append(time.perf_counter() - began - _TICK)
            self._busy.append(time.thread_time() - used)

    def taken(self) -> Figures:
        """Return what was seen since the last call."""
        late, busy = sorted(self._late), sorted(self._busy)
        self._late, self._busy = [], []
        if not late:
            return Figures(0, 0, 0, 0, 0)
        at = [late[int(len(late) * share)] for share in (0.999, 0.99)]
        return Figures(late[-1] * 1e3, at[0] * 1e3, at[1] * 1e3, busy[-1] * 1e3, len(late))


ticker = Ticker()


async def _plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("done")


async def _mail(request: Request) -> PlainTextResponse:
    await mailworker.asend_mail("Your order", "It is on its way. " * 50, "shop@example.com", ["ann@example.com"])
    return PlainTextResponse("done")


async def _figures(request: Request) -> JSONResponse:
    return JSONResponse(asdict(ticker.taken()))


@asynccontextmanager
async def _life(app: Starlette) -> AsyncIterator[None]:
    async with lifespan(app):
        if _GC in os.environ:
            gc.set_threshold(*map(int, os.environ[_GC].split(",")))
        ticking = asyncio.create_task(ticker.run())
        yield
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking


def app() -> Starlette:
    """Return the application; uvicorn's factory."""
    pages = {"/plain": _plain, "/mail": _mail, "/figures": _figures}
    return Starlette(routes=[Route(path, page) for path, page in pages.items()], lifespan=_life)


async def asked(port: int, path: str, clients: int, requests: int) -> float:
    """Let clients ask for a page at the same time, each so often; return the requests that were answered in a second."""
    gate = asyncio.Event()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await gate.wait()
        for _ in range(requests):
            await asyncio.sleep(random.uniform(0, _PAUSE))
            await _answer(reader, writer, path)
        writer.close()

    asking = [asyncio.create_task(client()) for _ in range(clients)]
    await asyncio.sleep(0.5)
    began = time.perf_counter()
    gate.set()
    await asyncio.gather(*asking)
    return clients * requests / (time.perf_counter() - began)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"the server answered {head.splitlines()[0]!r}")
    size = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
    return await reader.readexactly(int(size.partition(b":")[2]))


async def figures(port: int) -> Figures:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = Figures(**json.loads(await _answer(reader, writer, "/figures")))
    writer.close()
    return found


async def measured(port: int, clients: int, requests: int, rounds: int) -> dict[str, list[tuple[float, Figures]]]:
    """Return, for each page, requests a second and what the ticker saw, for each round."""
    found: dict[str, list[tuple[float, Figures]]] = {"/plain": [], "/mail": []}
    for path in found:
        # The first requests of a process load what the server needs for them.
        await asked(port, path, 2, 5)
    for _ in range(rounds):
        for path, seen in found.items():
            await figures(port)
            speed = await asked(port, path, clients, requests)
            seen.append((speed, await figures(port)))
    return found


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=25, help="of each client in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gc", help="thresholds of the server's collector, such as 2000,5,100; 0 = off")
    asked_for = parser.parse_args()
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "--factory", "tests.bench.stall:app", "--port", str(port)]
    argv += ["--log-level", "warning", "--no-access-log", "--backlog", "512"]
    tuned = {_GC: asked_for.gc} if asked_for.gc else {}
    with RedisServer() as redis, Process(argv, {"MAILWORKER_BROKER_URL": redis.url, **tuned}) as server:
        while server.is_running:
            with suppress(OSError):
                asyncio.run(figures(port))
                break
            time.sleep(0.1)
        found = asyncio.run(measured(port, asked_for.clients, asked_for.requests, asked_for.rounds))
    print(
        f"{asked_for.clients} clients, {asked_for.requests} requests each, {asked_for.rounds} rounds; gc {asked_for.gc or 'as it is'}; Redis without persistence"
    )
    print("page    requests/s   late, worst   99.9 %    99 %   busiest tick   (ms)")
    worst = {}
    for path, seen in found.items():
        for speed, each in seen:
            print(f"{path:8}{speed:10.0f}{each.worst:14.1f}{each.late_999:9.1f}{each.late_99:8.1f}{each.busiest:15.1f}")
        worst[path] = max(each.worst for _, each in seen)
    ratio = worst["/mail"] / worst["/plain"]
    print(
        f"worst with mail {worst['/mail']:.1f} ms, without {worst['/plain']:.1f} ms: {ratio:.2f} times; goal {GOAL:.0f} ms"
    )
    return 0 if worst["/mail"] < GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
