"""One file through client, gateway and origin."""

from ftplib import FTP
from pathlib import Path

from origin import Origin
from tests.kit.gateway import application, gateway
from tests.kit.ports import take

PORTS = take(21)


def test_a_file_goes_through(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_bytes(b"hello")
    users = {"user": "secret"}
    with (
        Origin(tmp_path, listen=("127.0.0.2", 0), passive_ports=PORTS, users=users) as origin,
        gateway(application(origin.address, PORTS)) as running,
        FTP() as ftp,
    ):
        ftp.connect(*running.address)
        ftp.login("user", "secret")
        received: list[bytes] = []
        ftp.retrbinary("RETR hello.txt", received.append)
        assert b"".join(received) == b"hello"
        ftp.quit()
        channel = running.journal.wait("dataChannel")
        assert (channel["toClient"], channel["outcome"]) == (5, "complete")
        assert running.journal.wait("disconnect")["outcome"] == "quit"
