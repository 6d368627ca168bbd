"""A session that sends each reply as a whole: here dialects and faults come in."""

from typing import Any

from origin.dialects import PLAIN, Dialect, named_port
from origin.listener import FTPHandler


class Speaker(FTPHandler):  # type: ignore[misc]  # pyftpdlib has no type hints
    """A handler that collects the lines that pyftpdlib pushes, and says each complete reply in its dialect.

    It is laid over one of pyftpdlib's own handlers.
    """

    dialect: Dialect = PLAIN
    _unsaid = ""
    _line = ""
    _verb: str | None = None
    _argument = ""

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Remember the command that is answered."""
        self._line, self._verb, self._argument = line, cmd, arg
        super().pre_process_command(line, cmd, arg)

    def push(self, data: str) -> None:
        """Take some lines of a reply, and say it once its last one is there."""
        self._unsaid += data
        if not self._unsaid.splitlines()[-1].startswith(f"{self._unsaid[:3]} "):
            return
        reply, self._unsaid = self._unsaid, ""
        words = self.dialect.word(reply, self._verb, self._fields(reply))
        if reply.startswith("234"):  # TLS begins right after it
            super().push(words)
        else:
            self.say(words)

    def push_with_producer(self, producer: Any) -> None:
        """Take the listing inside of a reply to STAT, as lines of the reply."""
        while data := producer.more():
            self.push(data.decode(self.encoding, self.unicode_errors))

    def say(self, words: str) -> None:
        """Send a reply, or several, complete."""
        super().push(words)

    def _fields(self, reply: str) -> dict[str, str]:
        numbers, port = named_port(reply)
        size = self._size() if reply.startswith("1") and self._verb == "RETR" else 0
        return {
            "host": self.socket.getsockname()[0],
            "line": self._line,
            "user": self._argument if self._verb == "USER" else self.username,
            "numbers": numbers,
            "port": port,
            "file": self._argument,
            "size": str(size),
            "kbytes": f"{size / 1024:.1f}",
            "features": self.dialect.features(reply) if self._verb == "FEAT" else "",
        }

    def _size(self) -> int:
        size: int = self.fs.getsize(self.fs.ftp2fs(self._argument))
        return size
