"""A client of the least cost, so that thousands of them fit into one process."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import NoReturn

from tests.kit.passive import passive_port

REFUSALS = (421, 425, 426)  # what a client may be told while the origin is gone
SIZE = 20_000  # bytes of a file

SocketAddress = tuple[str, int]


async def nothing() -> None:
    """Takes no time."""


class Refused(Exception):
    """The gateway or the origin said no, as FTP says it. The text is the code."""


class Unexpected(Exception):
    """Anything else went wrong."""


class Client:
    """One control connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, extended: bool) -> None:
        self.reader, self.writer, self.extended = reader, writer, extended

    @classmethod
    async def connect(cls, place: SocketAddress, extended: bool = True) -> Client:
        """Connects; the greeting is not read yet.

        :param extended: whether it says EPSV rather than PASV.
        """
        return cls(*await asyncio.open_connection(*place), extended)

    async def reply(self, *codes: int) -> bytes:
        """The next reply, which has to have one of these codes."""
        try:
            line = await self.reader.readline()
        except OSError as error:
            raise Unexpected(f"{type(error).__name__} in the place of {codes}") from None
        code = int(line[:3]) if line[:3].isdigit() else 0
        if not line and codes == (221,):
            raise Refused("no farewell")
        if code in REFUSALS and code not in codes:
            raise Refused(str(code))
        if code not in codes:
            raise Unexpected(f"{line!r} in the place of {codes}")
        return line

    async def ask(self, command: bytes, *codes: int) -> bytes:
        """Sends a command; gives the reply, which has to have one of these codes."""
        self.writer.write(command + b"\r\n")
        return await self.reply(*codes)

    async def login(self) -> None:
        """Reads the greeting and logs in."""
        await self.reply(220)
        await self.ask(b"USER soak", 331)
        await self.ask(b"PASS soak", 230)
        await self.ask(b"TYPE I", 200)

    async def begin(self, command: bytes) -> tuple[StreamReader, StreamWriter]:
        """Begins a transfer; gives its data connection."""
        host = self.writer.get_extra_info("peername")[0]
        port = passive_port(await (self.ask(b"EPSV", 229) if self.extended else self.ask(b"PASV", 227)))
        try:
            data = await asyncio.open_connection(host, port)
        except OSError as error:  # the port is closed again: the reply to the transfer command says why
            await self.ask(command, *REFUSALS)
            raise Refused("425") from error
        try:
            await self.ask(command, 150)
        except BaseException:
            data[1].transport.abort()
            raise
        return data

    async def get(self, command: bytes, size: int | None = None) -> None:
        """Receives a listing or a file. It has to be whole where the reply says so."""
        reader, writer = await self.begin(command)
        received = 0
        try:
            while data := await reader.read(65536):
                received += len(data)
            whole = received > 0 if size is None else received == size
        except OSError:
            whole = False
        finally:
            writer.close()
        await self.reply(*((226,) if whole else REFUSALS))
        if not whole:
            raise Refused("426")

    async def put(self, in_the_middle: Callable[[], Awaitable[object]] = nothing) -> None:
        """Sends a file; ``in_the_middle`` is waited for behind its first half."""
        _, writer = await self.begin(b"STOR file")
        try:
            writer.write(bytes(SIZE // 2))
            await writer.drain()
            await in_the_middle()
            writer.write(bytes(SIZE // 2))
            await writer.drain()
        except OSError:  # the reply says why
            pass
        finally:
            writer.close()
        await self.reply(226)

    def say(self, command: bytes) -> None:
        """Sends a command, and does not wait."""
        self.writer.write(command + b"\r\n")

    async def unasked(self) -> NoReturn:
        """Waits for what comes without a command; only a refusal may."""
        line = await self.reader.readline()
        raise Refused(line[:3].decode()) if int(line[:3] or 0) in REFUSALS else Unexpected(f"{line!r}, unasked")

    def close(self) -> None:
        """At once."""
        self.writer.close()
