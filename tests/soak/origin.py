"""A light FTP server, so that the gateway has more to do than what stands behind it. Run as a program, alone.

It lets anyone in, lists nothing much, sends as many bytes as ``RETR`` names, and takes in what it is sent. It prints
a line once it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import socket
from asyncio import StreamReader, StreamWriter

LISTING = b"-rw-r--r-- 1 ftp ftp 1000 Jan  1 00:00 file\r\n" * 10
CHUNK = bytes(65536)

PLAIN = {
    b"USER": b"331 Password, please.",
    b"PASS": b"230 Logged in.",
    b"TYPE": b"200 Type set.",
    b"NOOP": b"200 OK.",
    b"QUIT": b"221 Bye.",
}


class Session:
    """One client's."""

    def __init__(self, host: str, ports: itertools.cycle[int], reader: StreamReader, writer: StreamWriter) -> None:
        self.host, self.ports, self.reader, self.writer = host, ports, reader, writer
        self.passive: socket.socket | None = None

    def say(self, line: bytes) -> None:
        self.writer.write(line + b"\r\n")

    async def run(self) -> None:
        try:
            self.say(b"220 Ready.")
            while line := await self.reader.readline():
                await self.obey(line.strip())
                if line[:4] == b"QUIT":
                    break
        except OSError:
            pass
        finally:
            self.listen_no_more()
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()

    async def obey(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        if verb in PLAIN:
            self.say(PLAIN[verb])
        elif verb in (b"PASV", b"EPSV"):
            port = self.listen()
            if verb == b"EPSV":
                self.say(b"229 Entering Extended Passive Mode (|||%d|)" % port)
            else:
                numbers = (*self.host.split("."), port // 256, port % 256)
                self.say(b"227 Entering Passive Mode (%s)" % ",".join(map(str, numbers)).encode())
        elif verb in (b"LIST", b"RETR", b"STOR"):
            await self.transfer(verb, argument)
        else:
            self.say(b"502 Not here.")

    def listen(self) -> int:
        self.listen_no_more()
        for port in self.ports:
            with contextlib.suppress(OSError):
                self.passive = socket.create_server((self.host, port), backlog=1)
                self.passive.setblocking(False)
                return port
        raise AssertionError

    def listen_no_more(self) -> None:
        if self.passive is not None:
            self.passive.close()
            self.passive = None

    async def transfer(self, verb: bytes, argument: bytes) -> None:
        passive, self.passive = self.passive, None
        if passive is None:
            self.say(b"425 PASV first.")
            return
        with passive:
            try:
                async with asyncio.timeout(10):
                    connection, _ = await asyncio.get_running_loop().sock_accept(passive)
            except TimeoutError:
                self.say(b"425 Nobody came.")
                return
        self.say(b"150 Here it comes.")
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            if verb == b"STOR":
                while await reader.read(65536):
                    pass
            else:
                left = int(argument) if verb == b"RETR" else len(LISTING)
                while left:
                    piece = LISTING if verb == b"LIST" else CHUNK[:left]
                    writer.write(piece)
                    left -= len(piece)
                    await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            writer.transport.abort()
            self.say(b"426 Broken off.")
        else:
            self.say(b"226 Done.")


async def serve(host: str, port: int, first: int, last: int) -> None:
    ports = itertools.cycle(range(first, last + 1))

    async def session(reader: StreamReader, writer: StreamWriter) -> None:
        await Session(host, ports, reader, writer).run()

    server = await asyncio.start_server(session, host, port, backlog=1024)
    print("soak origin ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    for number in ("port", "first", "last", "nice"):
        parser.add_argument(number, type=int)
    options = vars(parser.parse_args())
    os.nice(options.pop("nice"))  # it stands for another machine: the gateway comes first
    asyncio.run(serve(**options))
