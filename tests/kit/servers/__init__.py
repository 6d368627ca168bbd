"""Real FTP servers, started on a loopback address for the length of a ``with`` block.

Example::

    with vsftpd(tmp_path, "127.0.0.2", passive_ports=range(20000, 20021)) as server:
        ftp.connect(*server.address)

`.ci/fetch-servers` provides the programs; `tests.kit.servers.requirements` skips a test where they cannot run.
"""

from tests.kit.servers.daemons import DAEMONS, SPECTRUM_RECIPE, Daemon, Server, proftpd, pure_ftpd, vsftpd
from tests.kit.servers.sandbox import EXAMPLE_ADDRESS, EXAMPLE_NAME

__all__ = [
    "DAEMONS",
    "EXAMPLE_ADDRESS",
    "EXAMPLE_NAME",
    "SPECTRUM_RECIPE",
    "Daemon",
    "Server",
    "proftpd",
    "pure_ftpd",
    "vsftpd",
]
