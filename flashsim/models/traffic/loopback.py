"""A small HTTP server on this machine under a bounded load: a saturation curve for cases without a public table.

    from flashsim.models.traffic.latency import fit_latency
    from flashsim.models.traffic.loopback import Load, measure_loopback
    load = Load(servers=4, mean_service_s=0.04, ticks=24, tick_s=1.0)
    table = measure_loopback(load, seed=0)                             # date, visits, clicks, response_time_s
    fit = fit_latency(table["visits"], response_time_s=table["response_time_s"], servers=4, tick_s=1.0)
    print(fit.sentences())                                             # near 25 visits/s a server

The server holds each request until a worker is free (first come, first served), then for an exponential service time,
and answers over HTTP/1.1. Clients arrive as a Poisson process. Its rate steps through the requested utilizations,
whether or not earlier requests were answered (an open load). Each client has its own connection. Server and clients
share one event loop on 127.0.0.1, at a port that the system chooses; nothing outside this machine is reached. Three
limits hold together: the number of requests (the rest is never sent), the number of open connections (clients above it
wait, and their wait counts), and the time limit, after which everything still open is cut and an InputError reports it.

A service is a sleep, which a busy machine lengthens by about a millisecond: use services much longer than that. Left
out: TLS, keep-alive, work that needs a processor, and failures.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.errors import InputError

Array = NDArray[np.float64]
HOST: Final = "127.0.0.1"
LONGEST_S: Final = 600.0
"""Longest duration of a load; seconds."""
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@dataclass(frozen=True)
class Load:
    """How many visits come at what time, and how many workers serve them."""

    servers: int = 4
    """Workers that serve one request each at a time."""
    mean_service_s: float = 0.04
    """Mean of the exponential service time; seconds."""
    ticks: int = 24
    """Ticks of the table."""
    tick_s: float = 1.0
    """Length of a tick; seconds."""
    utilizations: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 1.0, 1.1, 0.6, 0.3)
    """Arrival rate over capacity; each value holds for an equal part of the ticks. Overload comes late and then
    drains."""
    most_requests: int = 5_000
    """Largest number of requests."""
    most_open: int = 200
    """Largest number of open connections."""
    patience_s: float = 30.0
    """The backlog must drain within this time after the last tick; seconds."""

    def __post_init__(self) -> None:
        for name in ("servers", "ticks", "most_requests", "most_open"):
            value = getattr(self, name)
            if not (isinstance(value, int) and 1 <= value <= 100_000):
                raise InputError(f"{name} must be a whole number from 1 to 100000, got {value!r}; correct it")
        for name in ("mean_service_s", "tick_s", "patience_s"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise InputError(f"{name} must be > 0 seconds, got {value}; correct it")
        if not self.utilizations or not all(0.0 <= value <= 3.0 for value in self.utilizations):
            raise InputError(f"utilizations must lie from 0 to 3, got {self.utilizations}; correct them")
        if self.longest_s > LONGEST_S:
            raise InputError(f"the load may take {self.longest_s:g} s, at most {LONGEST_S:g} are allowed; shorten it")

    @property
    def longest_s(self) -> float:
        """Time after which the load is cut; seconds."""
        return self.ticks * self.tick_s + self.patience_s

    def draw_arrivals(self, generator: np.random.Generator) -> Array:
        """(request,) arrival times in seconds from the start, ascending, at most ``most_requests``."""
        step = np.arange(self.ticks) * len(self.utilizations) // self.ticks
        rate = np.asarray(self.utilizations)[step] * self.servers / self.mean_service_s
        counts = generator.poisson(rate * self.tick_s)
        start = np.repeat(np.arange(self.ticks) * self.tick_s, counts)
        arrivals: Array = np.sort(start + generator.uniform(0.0, self.tick_s, start.size))
        return arrivals[: self.most_requests]


class Sent(NamedTuple):
    """What the clients saw."""

    arrival_s: Array  # request; actual seconds from the start
    response_s: Array  # request; seconds


def measure_loopback(load: Load | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Start the server, send the load and stop the server. Return date, visits, clicks, response_time_s, one row a
    tick.

    A visit belongs to the tick in which it arrived. ``date`` starts at 1970-01-01, because only differences matter. The
    seed determines arrivals and services, not the timing of the machine. InputError when the backlog does not drain in
    time.
    """
    load = load or Load()
    generator = np.random.default_rng(seed)
    arrivals = load.draw_arrivals(generator)
    services = generator.exponential(load.mean_service_s, arrivals.size)
    sent = asyncio.run(_serve_and_send(load, arrivals=arrivals, services=services))
    tick = np.minimum((sent.arrival_s // load.tick_s).astype(np.intp), load.ticks - 1)
    visits = np.bincount(tick, minlength=load.ticks)
    total = np.bincount(tick, sent.response_s, minlength=load.ticks)
    return pd.DataFrame(
        {
            "date": pd.Timestamp(0) + pd.to_timedelta(np.arange(load.ticks) * load.tick_s, unit="s"),
            "visits": visits.astype(np.float64),
            "clicks": visits.astype(np.float64),
            "response_time_s": np.where(visits > 0, total / np.maximum(visits, 1), np.nan),
        }
    )


async def _serve_and_send(load: Load, *, arrivals: Array, services: Array) -> Sent:
    workers, waiting = asyncio.Semaphore(load.servers), iter(services.tolist())
    answering: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            async with workers:
                await asyncio.sleep(next(waiting))
            writer.write(ANSWER)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the load was cut: nobody waits for the answer
        finally:
            answering.discard(task)
            writer.close()

    server = await asyncio.start_server(answer, HOST, 0, backlog=max(load.most_open, 100))
    try:
        port = int(server.sockets[0].getsockname()[1])
        async with asyncio.timeout(load.longest_s):
            return await _send(arrivals, port=port, slots=asyncio.Semaphore(load.most_open))
    except TimeoutError as error:
        raise InputError(
            f"the load was not answered within {load.longest_s:g} s; lower the utilizations or raise patience_s"
        ) from error
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        await server.wait_closed()


async def _send(arrivals: Array, *, port: int, slots: asyncio.Semaphore) -> Sent:
    """Send one request at each of ``arrivals``, each from its own task, and measure its time."""
    loop = asyncio.get_running_loop()
    start = loop.time()

    async def visit() -> tuple[float, float]:
        arrived = loop.time()
        async with slots:
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: loopback\r\nConnection: close\r\n\r\n")
                await reader.read()
            finally:
                writer.close()
        return arrived - start, loop.time() - arrived

    tasks = []
    async with asyncio.TaskGroup() as group:
        for due in arrivals.tolist():
            await asyncio.sleep(max(0.0, start + due - loop.time()))
            tasks.append(group.create_task(visit()))
    seen = np.array([task.result() for task in tasks], dtype=np.float64).reshape(-1, 2)
    return Sent(seen[:, 0], seen[:, 1])
