"""The login: its deadline, and the refusals that are held until they are counted."""

import pytest

from gateway.session.conversation import MAX_QUEUED
from tests.unit.session.playbook import Playbook


class TestLogin:
    @pytest.mark.parametrize("verb", ["USER", "PASS", "ACCT"])
    def test_230_ends_its_deadline(self, play: Playbook, verb: str) -> None:
        play(f"""
            client: {verb} x
                origin: {verb} x
            origin: 230 In
                disarm login
                client: 230 In
        """)

    @pytest.mark.parametrize("reply", ["331 Password?", "332 Account?", "501 No"])
    def test_nothing_else_does(self, play: Playbook, reply: str) -> None:
        play(f"""
            client: USER x
                origin: USER x
            origin: {reply}
                client: {reply}
            client: CWD x
                origin: CWD x
            origin: 230 Not to be taken for it
                client: 230 Not to be taken for it
            deadline login
                client: 421 Login timeout; closing control connection.
                close: login timeout
        """)

    def test_a_new_user_starts_it_again(self, play: Playbook) -> None:
        play("""
            client: USER x
                origin: USER x
            origin: 230 In
                disarm login
                client: 230 In
            client: USER y
                origin: USER y
            origin: 230 In
                client: 230 In
            client: REIN
                origin: REIN
            origin: 120 In a moment
                client: 120 In a moment
            origin: 220 Ready
                arm login
                client: 220 Ready
            client: REIN
                origin: REIN
            origin: 502 Not here
                client: 502 Not here
        """)

    def test_a_client_without_login_cannot_stretch_it(self, play: Playbook) -> None:
        play("""
            client: REIN
                origin: REIN
            origin: 220 Ready
                client: 220 Ready
            client: USER x
                origin: USER x
            origin: 230 In
                disarm login
                client: 230 In
            client: REIN
                origin: REIN
            origin: 220 Ready
                arm login
                client: 220 Ready
            client: REIN
                origin: REIN
            origin: 220 Ready
                client: 220 Ready
        """)


class TestFailedLogins:
    FAILED = """\
client: PASS wrong
    origin: PASS wrong
origin: 530 No at 198.51.100.1
    count failed login
"""

    def test_it_is_counted_before_the_client_is_told(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            failed login counted
                client: 530 No at 192.0.2.1
            client: PASS right
                origin: PASS right
        """)

    def test_the_last_one_ends_the_session(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            failed login counted, the last
                client: 530 No at 192.0.2.1
                client: 421 Too many failed logins; closing control connection.
                close: too many failed logins
        """)

    def test_commands_and_replies_wait_behind_it(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            client: NOOP
            client: ABOR
            client: PORT 1
            origin: 200 What
            failed login counted
                client: 530 No at 192.0.2.1
                note originError reason='reply to no command'
                origin: NOOP
            origin: 200 Fine
                client: 200 Fine
                origin: ABOR
        """)

    def test_an_origin_that_says_more_and_goes(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            origin: 421 Too many at 198.51.100.1
            origin lost
            failed login counted
                client: 530 No at 192.0.2.1
                client: 421 Too many at 192.0.2.1
                close: origin closed the session
        """)

    def test_an_origin_that_goes_without_a_word(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            origin lost
            failed login counted
                client: 530 No at 192.0.2.1
                client: 421 Service not available; closing control connection.
                close: origin lost
        """)

    def test_an_origin_that_goes_on_and_on(self, play: Playbook) -> None:
        play(self.FAILED)
        for _ in range(MAX_QUEUED):
            assert play.session.listens
            play("origin: 200 What\n")
        assert not play.session.listens
        play.happens("failed login counted")
        assert play.session.listens

    def test_the_end_of_the_session_does_not_wait_for_it(self, play: Playbook) -> None:
        play(self.FAILED)
        play("""
            deadline login
                client: 421 Login timeout; closing control connection.
                close: login timeout
            failed login counted
        """)


class TestGuard:
    """The guard is asked before a password goes to the origin, and told how the origin answered."""

    @pytest.mark.parametrize("verb", ["PASS", "ACCT"])
    def test_an_attempt_waits_until_it_may_go(self, play: Playbook, verb: str) -> None:
        play.guarded = True
        play(f"""
            client: USER x
                origin: USER x
            origin: 331 Password?
                client: 331 Password?
            client: {verb} secret
                attempt login
            client: NOOP
            login admitted
                origin: {verb} secret
            origin: 230 In
                confirm login
                disarm login
                client: 230 In
                origin: NOOP
        """)

    @pytest.mark.parametrize("reply", ["202 No need", "332 Account?", "503 USER first", "500 What?"])
    def test_an_attempt_that_tested_no_password_is_taken_back(self, play: Playbook, reply: str) -> None:
        play.guarded = True
        play(f"""
            client: PASS secret
                attempt login
            login admitted
                origin: PASS secret
            origin: {reply}
                withdraw login
                client: {reply}
        """)

    @pytest.mark.parametrize("reply", ["530 No", "430 No", "450 Not now", "550 No"])
    @pytest.mark.parametrize("verb", ["PASS", "ACCT"])
    def test_an_attempt_that_failed_is_counted(self, play: Playbook, verb: str, reply: str) -> None:
        play(f"""
            client: {verb} secret
                origin: {verb} secret
            origin: {reply}
                count failed login
            failed login counted
                client: {reply}
        """)

    def test_a_user_who_is_refused_is_counted(self, play: Playbook) -> None:
        play("""
            client: USER root
                origin: USER root
            origin: 530 Not you
                count failed login
            failed login counted, the last
                client: 530 Not you
                client: 421 Too many failed logins; closing control connection.
                close: too many failed logins
        """)

    def test_who_logs_out_applies_again(self, play: Playbook) -> None:
        play.guarded = True
        play("""
            client: USER x
                origin: USER x
            origin: 230 In
                confirm login
                disarm login
                client: 230 In
            client: REIN
                origin: REIN
            origin: 220 Ready
                reapply
                arm login
                client: 220 Ready
        """)

    def test_a_ban_ends_a_session(self, play: Playbook) -> None:
        play.guarded = True
        play("""
            client: PASS secret
                attempt login
            banned
                client: 421 Too many failed logins; closing control connection.
                close: too many failed logins
        """)

    def test_a_ban_ends_a_session_that_awaits_its_origin(self) -> None:
        play = Playbook()
        play.happens("client connects")
        play("""
            banned
                client: 421 Too many failed logins; closing control connection.
                close: too many failed logins
        """)


class TestUser:
    @pytest.mark.parametrize(
        ("name", "user"),
        [("anna", "anna"), (" a b", " a b"), ("gr\\xc3\\xbcezi", "grüezi"), ("\\xff", "\\xff")],
    )
    def test_the_name_is_known_once_the_login_succeeded(self, play: Playbook, name: str, user: str) -> None:
        play.happens(f"client: USER {name}")
        play.happens("origin: 331 Password?")
        play.happens("client: PASS secret")
        assert play.session.user is None
        play.happens("origin: 230 Welcome")
        assert play.session.user == user

    def test_a_name_that_no_login_followed_may_be_a_password(self, play: Playbook) -> None:
        play.happens("client: USER secret")
        play.happens("origin: 530 No")
        play.happens("client lost")
        assert play.session.user is None
