"""Ends what the integration tests share."""

from tests.harness import stop_reactor


def pytest_sessionfinish() -> None:
    stop_reactor()
