"""Real servers that speak TLS behind the gateway, where it ends the clients' TLS, and where it lets that pass."""

from __future__ import annotations

import contextlib
import ftplib
import shutil
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import attrs
import pytest

from tests.clients import content, contents, logged_in, tree
from tests.ftps import Account, Client, Curl, Failed, Ftplib, Lftp, secured, table
from tests.harness import PATIENCE, Conversation, RunningGateway, application, gateway, names
from tests.origins import ORIGINS, Run, embedded, secure
from tests.scripted import no_mistakes
from tests.servers import DAEMONS, SPECTRUM_RECIPE, Daemon, Server, proftpd, vsftpd
from tests.servers.requirements import require
from tests.tls import Pair, certificates

HOST = "127.0.0.2"
PORTS = range(28600, 28800)
FEW_PORTS = range(28800, 28820)  # all of which passthrough opens
SIZES = (0, 65536)
