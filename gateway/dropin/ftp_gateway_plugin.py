"""The plugin's announcement to twistd, which imports this file at every run: so it imports nothing else."""

from twisted.application.service import ServiceMaker

ftp_gateway = ServiceMaker(
    "FTP gateway",
    "gateway.tap",
    "A protective gateway in front of FTP servers.",
    "ftp-gateway",
)
