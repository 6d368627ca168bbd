"""The greeting, and the steps before it."""

import attrs
import pytest

from tests.unit.session.playbook import SETTING, Playbook


class TestGreeting:
    def test_the_origins_own(self) -> None:
        Playbook(idle=True)("""
            client connects
                arm login
                connect origin
            origin connects
            origin: 220-Welcome\\r\\n to 198.51.100.1\\r\\n220 Ready
                arm idle
                client: 220-Welcome\\r\\n to 192.0.2.1\\r\\n220 Ready
        """)

    def test_a_banner_in_its_place(self) -> None:
        Playbook(attrs.evolve(SETTING, banner="ready"))("""
            client connects
                arm login
                connect origin
            origin connects
            origin: 220-ProFTPD 1.3.8\\r\\n220 Ready
                client: 220 ready
        """)

    def test_120_before_220(self) -> None:
        Playbook(idle=True)("""
            client connects
                arm login
                connect origin
            origin connects
            origin: 120 Ready in 1 minute
                client: 120 Ready in 1 minute
            client: USER x
            origin: 220 Ready
                arm idle
                client: 220 Ready
                origin: USER x
        """)

    def test_commands_wait_for_it(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            client: USER x
            client: PORT 1,2,3,4,5,6
            origin connects
            origin: 220 Ready
                client: 220 Ready
                origin: USER x
            origin: 331 Password?
                client: 331 Password?
                note commandRefused verb='PORT' reply='502 Active mode is not supported; use EPSV or PASV.'
                client: 502 Active mode is not supported; use EPSV or PASV.
        """)

    @pytest.mark.parametrize("code", [421, 530, 331])
    def test_refused_by_the_origin(self, code: int) -> None:
        Playbook()(f"""
            client connects
                arm login
                connect origin
            origin connects
            origin: {code} Not you at 198.51.100.1
                client: {code} Not you at 192.0.2.1
                close: origin refused the session
        """)

    def test_no_origin(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            origin fails: Connection refused by 198.51.100.1
                note originError reason='Connection refused by 198.51.100.1'
                client: 421 Service not available; closing control connection.
                close: origin unreachable
        """)

    def test_no_greeting(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            origin connects
            deadline login
                note originError reason='no greeting in time'
                client: 421 Service not available; closing control connection.
                close: origin sent no greeting
        """)

    def test_the_origin_goes_before_it(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            origin connects
            origin lost
                note originError reason='control connection lost'
                client: 421 Service not available; closing control connection.
                close: origin lost
        """)

    def test_the_client_goes_before_it(self) -> None:
        Playbook()("""
            client connects
                arm login
                connect origin
            client lost
                close: client lost
            origin connects
        """)
