"""Sessions by the thousand. Run as a program; it says how far it is line by line, and the result as JSON at the end.

First all of them log in, list, and store, each waiting in the middle of that until all are there. Then the
oldest of them leave and new ones come, all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter, deque

from tests.soak.client import SIZE, Client, Refused, SocketAddress, Unexpected

STEP = 0.05  # seconds between two looks at who is due
RUSH = 300  # sessions that begin in a second at the most
PATIENCE = 30.0  # seconds in which all have to be gone in the end
HELD = 2.0  # seconds that all stay in the middle of a transfer


class Visit:
    """One from its beginning to its QUIT."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.number = load, number
        self.client: Client | None = None  # once the transfers are over
        self.leaving = False
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        load, client = self.load, None
        try:
            client = await Client.connect(load.place, extended=self.number % 2 == 0)
            await client.login()
            await client.get(b"LIST")
            if self.number < load.sessions:
                await client.put(load.in_the_middle)
            elif self.number % 4 < 2:
                await client.put()
            else:
                await client.get(b"RETR %d" % SIZE, SIZE)
            load.up += 1
            self.client = client
            try:
                if self.leaving:
                    client.say(b"QUIT")
                await client.reply(221)
            finally:
                load.up -= 1
            load.served += 1
        except Refused as refusal:
            load.refused[str(refusal)] += 1
            load.last_refusal = time.monotonic()
        except (OSError, Unexpected) as error:
            load.unexpected[f"{type(error).__name__}: {error}"] += 1
        finally:
            if client is not None:
                client.close()

    def leave(self) -> None:
        """Says QUIT, at once or as soon as the last transfer is over."""
        self.leaving = True
        if self.client is not None:
            self.client.say(b"QUIT")


class Load:
    """All of them, and what became of them."""

    def __init__(self, place: SocketAddress, sessions: int) -> None:
        self.place, self.sessions = place, sessions
        self.live: deque[Visit] = deque()
        self.begun = self.halted = self.up = self.served = 0
        self.refused: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self.last_refusal = 0.0
        self.go_on = asyncio.Event()
        self.looked = time.monotonic()

    async def in_the_middle(self) -> None:
        """Where the first ones wait for each other."""
        self.halted += 1
        await self.go_on.wait()

    def begin(self) -> None:
        """New sessions: as many as are missing, but not all in a rush."""
        now = time.monotonic()
        most, self.looked = round(RUSH * (now - self.looked)), now
        self.live = deque(session for session in self.live if not session.task.done())
        for _ in range(min(most, self.sessions - len(self.live))):
            self.live.append(Visit(self, self.begun))
            self.begun += 1

    async def together(self) -> None:
        """All begin, and are in the middle of a transfer at once."""
        while self.halted < self.sessions and not self.refused and not self.unexpected:
            if self.begun < self.sessions:
                self.begin()
            await asyncio.sleep(STEP)
        print("together", flush=True)
        await asyncio.sleep(HELD)
        self.go_on.set()
        while self.up < self.sessions and not self.refused and not self.unexpected:
            await asyncio.sleep(STEP)

    async def churn(self, rate: int, seconds: int) -> int:
        """Of all sessions some leave, others come; gives how many there were at the least."""
        began, left, least = time.monotonic(), 0, self.up
        for second in range(seconds):
            print(f"second {second}.", flush=True)
            while (passed := time.monotonic() - began) < second + 1:
                while left < rate * passed and self.live:
                    self.live.popleft().leave()
                    left += 1
                self.begin()
                least = min(least, self.up)
                await asyncio.sleep(STEP)
        return least

    async def end(self) -> None:
        """All leave."""
        for session in self.live:
            session.leave()
        if self.live:
            _, hanging = await asyncio.wait([session.task for session in self.live], timeout=PATIENCE)
            self.unexpected["hangs"] += len(hanging)


async def run(host: str, port: int, sessions: int, rate: int, seconds: int) -> None:
    load = Load((host, port), sessions)
    await load.together()
    least = await load.churn(rate, seconds)
    result = {"least": least, "last": load.up, "quiet": round(time.monotonic() - load.last_refusal)}
    await load.end()
    result |= {"served": load.served, "refused": dict(load.refused), "unexpected": dict(+load.unexpected)}
    result["processor"] = time.process_time()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    for number in ("port", "sessions", "rate", "seconds"):
        parser.add_argument(number, type=int)
    asyncio.run(run(**vars(parser.parse_args())))
