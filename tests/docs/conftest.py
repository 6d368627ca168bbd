"""The end of the things that the tests of the documentation share."""

from tests.kit.reactor import stop_reactor


def pytest_sessionfinish() -> None:
    stop_reactor()
