"""Lines that are not FTP: each is refused, and a few too many end the session."""

import pytest

from tests.unit.session.playbook import RUNNING, Playbook


class TestLinesThatAreNotClean:
    def test_three_are_too_many(self, play: Playbook) -> None:
        play("""
            client unclean: NUL
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='NUL in a line'
                client: 500 Line too long or not clean.
            client: PWD
                origin: PWD
            client unclean: NUL
            origin: 257 /
                client: 257 /
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='NUL in a line'
                client: 500 Line too long or not clean.
            client unclean: TOO_LONG
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='line too long'
                client: 500 Line too long or not clean.
                client: 421 Too many bad lines; closing control connection.
                close: client sent unclean lines
        """)

    def test_they_wait_beside_a_transfer(self, play: Playbook) -> None:
        play(RUNNING)
        play("""
            client unclean: NUL
            data delivered to client
            origin: 226 Transfer complete
                release data
                client: 226 Transfer complete
                note commandRefused verb='?' reply='500 Line too long or not clean.' reason='NUL in a line'
                client: 500 Line too long or not clean.
        """)


class TestUnknownCommands:
    REFUSED = """\
client: XYZZY
    note commandRefused verb='?' reply='500 Command not understood.'
    client: 500 Command not understood.
"""
    END = """\
    client: 421 Too many unknown commands; closing control connection.
    close: client sent unknown commands
"""

    def test_ten_in_a_row_are_too_many(self, play: Playbook) -> None:
        play(self.REFUSED * 10 + self.END)

    @pytest.mark.parametrize(
        "known",
        [
            """
            client: NOOP
                origin: NOOP
            origin: 200 Fine
                client: 200 Fine
            """,
            """
            client: ENC
                note commandRefused verb='ENC' reply='502 Command not supported.'
                client: 502 Command not supported.
            """,
        ],
    )
    def test_a_known_one_between_them_begins_anew(self, play: Playbook, known: str) -> None:
        for _ in range(3):
            play(self.REFUSED * 9)
            play(known)
