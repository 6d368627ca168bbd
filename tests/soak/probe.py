"""The response time that other users see: sessions that only say NOOP, and the time of each answer. Run as a program.

It prints a line once all are logged in, and at the end of its standard input the times, in milliseconds, as JSON. A
NOOP is sent when it is due, even if the last has no answer: so a gateway that stands still shows.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from tests.soak.client import Client, SocketAddress

SESSIONS = 20
INTERVAL = 0.02  # seconds from one NOOP to the next, of all the sessions together


async def measure(place: SocketAddress) -> None:
    times: list[float] = []
    free: asyncio.Queue[Client] = asyncio.Queue()
    running: set[asyncio.Task[None]] = set()

    async def noop(client: Client) -> None:
        began = time.perf_counter()
        await client.ask(b"NOOP", 200)
        times.append((time.perf_counter() - began) * 1000)
        free.put_nowait(client)

    for _ in range(SESSIONS):
        client = await Client.connect(place)
        await client.login()
        free.put_nowait(client)
    print("probing", flush=True)
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not over.done():
        await asyncio.sleep(INTERVAL)
        running.add(asyncio.create_task(noop(await free.get())))
        for task in [task for task in running if task.done()]:
            running.remove(task)
            task.result()
    await asyncio.gather(*running)
    times.sort()
    p50, p99 = (times[int(len(times) * share)] for share in (0.5, 0.99))
    print(json.dumps({"count": len(times), "p50": p50, "p99": p99, "max": times[-1]}), flush=True)


if __name__ == "__main__":
    asyncio.run(measure((sys.argv[1], int(sys.argv[2]))))
