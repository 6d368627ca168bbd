"""Ends what the tests of the documentation share."""

from tests.kit.gateway import stop_reactor


def pytest_sessionfinish() -> None:
    stop_reactor()
