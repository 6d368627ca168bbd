"""Clients that mean no good. Run as a program; it prints a line once the attack stands, and its result as JSON.

An attack ends when the gateway has ended all of its sessions, or at the end of standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.soak.client import Client, Refused, SocketAddress, Unexpected

ROUND = 50  # connections that are made at a time
PIPELINED = 20  # PASVs in one packet
DRIBBLE = 0.5  # seconds between two bytes of a slow one
LARGE = 1 << 30  # bytes of a file that nobody reads

Attack = Callable[[SocketAddress, int], Awaitable[None]]


async def silence(place: SocketAddress, number: int) -> None:
    """Connects, and that is all."""
    client = await Client.connect(place)
    await client.reply(220)
    await stand(client)


async def dribble(place: SocketAddress, number: int) -> None:
    """Sends a command byte by byte, and never its end; every other one has logged in before."""
    client = await Client.connect(place)
    await (client.login() if number % 2 else client.reply(220))
    dribbling = asyncio.create_task(slowly(client.writer))
    try:
        await stand(client)
    finally:
        dribbling.cancel()


async def thirst(place: SocketAddress, number: int) -> None:
    """Asks for a large file and reads next to nothing of it, or announces one and sends nothing."""
    client = await Client.connect(place)
    await client.login()
    _, writer = await client.begin(b"STOR file" if number % 2 else b"RETR %d" % LARGE)
    writer.transport.pause_reading()
    try:
        await stand(client)
    finally:
        writer.transport.abort()


async def spam(place: SocketAddress, number: int) -> None:
    """Asks for one data port after another, and comes to none."""
    client = await Client.connect(place)
    await client.login()
    attack.standing += 1
    try:
        while not attack.over:
            client.writer.write(b"PASV\r\n" * PIPELINED)
            for _ in range(PIPELINED):
                await client.reply(227)
            attack.replies += PIPELINED
        await client.ask(b"QUIT", 221)
    finally:
        attack.standing -= 1


async def slowly(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await asyncio.sleep(DRIBBLE)


async def stand(client: Client) -> None:
    """Until the gateway ends it."""
    attack.standing += 1
    try:
        await client.unasked()
    finally:
        attack.standing -= 1
        client.close()


class Progress:
    """Of the attack."""

    def __init__(self) -> None:
        self.standing = self.replies = 0
        self.over = False
        self.ended: Counter[str] = Counter()


attack = Progress()


async def one(kind: Attack, place: SocketAddress, number: int) -> None:
    try:
        await kind(place, number)
    except Refused as refusal:
        attack.ended[str(refusal)] += 1
    except (OSError, Unexpected) as error:
        attack.ended[f"{type(error).__name__}: {error}"] += 1
    else:
        attack.ended["quit"] += 1


async def run(kind: Attack, host: str, port: int, count: int) -> None:
    began = time.monotonic()
    tasks: list[asyncio.Task[None]] = []
    most = 0
    while len(tasks) < count:
        begun = len(tasks)
        tasks += (asyncio.create_task(one(kind, (host, port), n)) for n in range(begun, min(begun + ROUND, count)))
        while attack.standing + sum(attack.ended.values()) < len(tasks):
            await asyncio.sleep(0.005)
        most = max(most, attack.standing)
    print("standing", flush=True)
    made = time.monotonic() - began
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    everyone = asyncio.gather(*tasks)
    await asyncio.wait((over, everyone), return_when=asyncio.FIRST_COMPLETED)
    attack.over = True
    if kind is spam:
        await everyone
    for task in tasks:
        task.cancel()
    result = {"most": most, "made": made, "lasted": time.monotonic() - began}
    print(json.dumps({**result, "ended": dict(attack.ended), "replies": attack.replies}), flush=True)
    os._exit(0)  # the thread that reads standard input would wait for its end


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("silence", "dribble", "thirst", "spam"))
    parser.add_argument("host")
    for number in ("port", "count", "nice"):
        parser.add_argument(number, type=int)
    options = vars(parser.parse_args())
    os.nice(options.pop("nice"))
    asyncio.run(run(globals()[options.pop("kind")], **options))
