"""The effort of the property tests: HYPOTHESIS_PROFILE=nightly tries a hundred thousand examples of each."""

import os
from importlib.util import find_spec

from tests.kit.parallel import pytest_configure, pytest_xdist_auto_num_workers  # noqa: F401

if find_spec("hypothesis") is not None:  # the environment of tests/reactor has none
    from hypothesis import settings

    # A gate decides the same about the same tree, each time; developers and nights explore.
    settings.register_profile("quick", deadline=None, max_examples=200, derandomize="CI" in os.environ)
    settings.register_profile("nightly", deadline=None, max_examples=100_000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
