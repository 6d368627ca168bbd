"""Dialects: the words of other servers' replies, and odd replies that exist in the wild.

A dialect is a table of templates, with these fields:

- ``{host}``: the origin's address, as the client reached it
- ``{line}``: the command, as the client sent it
- ``{user}``: the name of the user who logs in
- ``{numbers}`` and ``{port}``: the address in a 227, and the port in a 229
- ``{file}``: the file's name, as the client sent it
- ``{size}`` and ``{kbytes}``: the size of a file to download, in bytes and in units of 1,024
- ``{features}``: the lines of the reply to FEAT
"""

import re
from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Dialect:
    r"""The words of one server's replies; replies that it has no words for are pyftpdlib's own.

    - `about`: a description in a few words
    - `greeting`: the reply before any command; None for pyftpdlib's
    - `replies`: templates by code and command, the most special first: ``226 LIST``, ``226``, ``1yz RETR``, ``1yz``.
      Lines are separated by ``\n``; a template may hold several replies
    - `indent`: the text before each feature
    - `unknown`: commands that the server does not know
    """

    about: str
    greeting: str | None = None
    replies: Mapping[str, str] = field(factory=dict, kw_only=True)
    indent: str = field(default=" ", kw_only=True)
    unknown: frozenset[str] = field(default=frozenset(), kw_only=True)

    def word(self, reply: str, verb: str | None, fields: Mapping[str, str]) -> str:
        """One of pyftpdlib's replies in this dialect. All lines end in CRLF.

        - `verb`: the last command; None before the first
        - `fields`: the values by the names in templates
        """
        template = self.greeting if verb is None else self._template(reply[:3], verb)
        if template is None:
            return reply
        return "".join(f"{line.format_map(fields)}\r\n" for line in template.split("\n"))

    def features(self, reply: str) -> str:
        """The lines of a reply to FEAT, as they stand in a template."""
        return "\r\n".join(self.indent + line.strip() for line in reply.splitlines()[1:-1])

    def _template(self, code: str, verb: str) -> str | None:
        for kind in (f"{code} {verb}", code, f"{code[0]}yz {verb}", f"{code[0]}yz"):
            if kind in self.replies:
                return self.replies[kind]
        return None


def named_port(reply: str) -> tuple[str, str]:
    """The six numbers of pyftpdlib's 227, and the port of its 229; empty in any other reply."""
    numbers, port = re.search(r"\((\d+(?:,\d+){5})\)", reply), re.search(r"\(\|\|\|(\d+)\|\)", reply)
    return numbers[1] if numbers else "", port[1] if port else ""


PLAIN = Dialect("pyftpdlib's own")

# The first three are the words of the programs in Debian 12, and a test compares them. The others are known from
# logs,
# manuals and sources; those servers were not run here.
DIALECTS: Mapping[str, Dialect] = {
    "vsftpd": Dialect(
        "vsftpd 3.0",
        "220 (vsFTPd 3.0.3)",
        replies={
            "331": "331 Please specify the password.",
            "230 PASS": "230 Login successful.",
            "530": "530 Login incorrect.",
            "227": "227 Entering Passive Mode ({numbers}).",
            "229": "229 Entering Extended Passive Mode (|||{port}|)",
            "1yz RETR": "150 Opening BINARY mode data connection for {file} ({size} bytes).",
            "1yz STOR": "150 Ok to send data.",
            "1yz": "150 Here comes the directory listing.",
            "226 LIST": "226 Directory send OK.",
            "226": "226 Transfer complete.",
            "200 TYPE": "200 Switching to Binary mode.",
            "211 FEAT": "211-Features:\n{features}\n211 End",
            "500": "500 Unknown command.",
            "221": "221 Goodbye.",
        },
        unknown=frozenset({"MLSD", "MLST", "MFMT"}),
    ),
    "iis": Dialect(
        "Microsoft's IIS 7 and later",
        "220 Microsoft FTP Service",
        replies={
            "331": "331 Password required",
            "230 PASS": "230 User logged in.",
            "530": "530 User cannot log in.",
            "227": "227 Entering Passive Mode ({numbers}).",
            "229": "229 Entering Extended Passive Mode (|||{port}|)",
            "125": "125 Data connection already open; Transfer starting.",
            "150": "150 Opening BINARY mode data connection.",
            "226": "226 Transfer complete.",
            "200 TYPE": "200 Type set to I.",
            "211 FEAT": "211-Extended features supported:\n{features}\n211 END",
            "215": "215 Windows_NT",
            "500": "500 Command not understood.",
            "221": "221 Goodbye.",
        },
        unknown=frozenset({"MLSD", "MLST", "MFMT"}),
    ),
    "proftpd": Dialect(
        "ProFTPD 1.3, whose greeting names its address",
        "220 ProFTPD Server (ProFTPD) [{host}]",
        replies={
            "331": "331 Password required for {user}",
            "230 PASS": "230 User {user} logged in",
            "530": "530 Login incorrect.",
            "227": "227 Entering Passive Mode ({numbers}).",
            "229": "229 Entering Extended Passive Mode (|||{port}|)",
            "1yz RETR": "150 Opening BINARY mode data connection for {file} ({size} bytes)",
            "1yz STOR": "150 Opening BINARY mode data connection for {file}",
            "1yz": "150 Opening BINARY mode data connection for file list",
            "226": "226 Transfer complete",
            "200 TYPE": "200 Type set to I",
            "211 FEAT": "211-Features:\n{features}\n211 End",
            "500": "500 {line} not understood",
            "221": "221 Goodbye.",
        },
    ),
    "pureftpd": Dialect(
        "Pure-FTPd 1.0, with replies of several lines",
        "220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\n"
        "220-You are user number 1 of 10 allowed.\n"
        "220-Local time is now 12:00. Server port: 21.\n"
        "220-This is a private system - No anonymous login\n"
        "220-IPv6 connections are also welcome on this server.\n"
        "220 You will be disconnected after 15 minutes of inactivity.",
        replies={
            "331": "331 User {user} OK. Password required",
            "230 PASS": "230 OK. Current directory is /",
            "530": "530 Login authentication failed",
            "227": "227 Entering Passive Mode ({numbers})",
            "229": "229 Extended Passive mode OK (|||{port}|)",
            "1yz RETR": "150-Accepted data connection\n150 {kbytes} kbytes to download",
            "1yz": "150 Accepted data connection",
            "226 LIST": "226-Options: -l \n226 1 matches total",
            "226": "226-File successfully transferred\n226 0.000 seconds (measured here), 66.71 Kbytes per second",
            "200 TYPE": "200 TYPE is now 8-bit binary",
            "211 FEAT": "211-Extensions supported:\n{features}\n211 End.",
            "500": "500 Unknown command",
            "221": "221-Goodbye. You uploaded 0 and downloaded 0 kbytes.\n221 Logout.",
        },
    ),
    "filezilla": Dialect(
        "FileZilla Server 1",
        "220-FileZilla Server 1.8.1\n220 Please visit https://filezilla-project.org/",
        replies={
            "331": "331 Please, specify the password.",
            "230 PASS": "230 Login successful.",
            "530": "530 Login incorrect.",
            "227": "227 Entering Passive Mode ({numbers})",
            "229": "229 Entering Extended Passive Mode (|||{port}|)",
            "1yz": "150 Starting data transfer.",
            "226": "226 Operation successful",
            "200 TYPE": "200 Type set to I",
            "211 FEAT": "211-Features:\n{features}\n211 End",
            "215": "215 UNIX emulated by FileZilla.",
            "500": "500 Wrong command.",
            "221": "221 Goodbye.",
        },
    ),
    "wuftpd": Dialect(
        "wu-ftpd 2.6, which knows neither EPSV nor FEAT, and names itself",
        "220 {host} FTP server (Version wu-2.6.2(1) Mon Dec 3 15:26:19 2001) ready.",
        replies={
            "331": "331 Password required for {user}.",
            "230 PASS": "230 User {user} logged in.",
            "530": "530 Login incorrect.",
            "227": "227 Entering Passive Mode ({numbers})",
            "1yz RETR": "150 Opening BINARY mode data connection for {file} ({size} bytes).",
            "1yz STOR": "150 Opening BINARY mode data connection for {file}.",
            "1yz": "150 Opening ASCII mode data connection for directory listing.",
            "226": "226 Transfer complete.",
            "200 TYPE": "200 Type set to I.",
            "500": "500 '{line}': command not understood.",
            "221": "221-You have transferred 0 bytes in 0 files.\n"
            "221-Total traffic for this session was 0 bytes in 0 transfers.\n"
            "221-Thank you for using the FTP service on {host}.\n"
            "221 Goodbye.",
        },
        unknown=frozenset({"EPSV", "EPRT", "FEAT", "OPTS", "MLSD", "MLST", "MFMT"}),
    ),
    "no-parentheses": Dialect(
        "227 without parentheses",
        replies={"227": "227 Entering Passive Mode {numbers}"},
    ),
    "other-delimiter": Dialect(
        "229 with another delimiter (RFC 2428 section 3)",
        replies={"229": "229 Entering Extended Passive Mode (!!!{port}!)"},
    ),
    "four-spaces": Dialect(
        "FEAT with four spaces, like IIS 6",
        replies={"211 FEAT": "211-FEAT\n{features}\n211 END"},
        indent="    ",
    ),
    "multi-line-login": Dialect(
        "230 in many lines, some of which look like replies",
        replies={
            "230 PASS": "230-Welcome, {user}.\n"
            " 227 Entering Passive Mode (10,0,0,1,4,1).\n"
            " 230 is what ends this.\n"
            "221-Not yet.\n"
            "230-\n"
            "230 Now."
        },
    ),
    "preliminary-greeting": Dialect(
        "120 before 220 (RFC 959 section 5.4)",
        "120 Service ready in 1 minutes.\n220 Service ready for new user.",
    ),
}
"""The dialects by name."""
