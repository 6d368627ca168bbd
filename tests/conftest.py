"""The effort of the property tests: HYPOTHESIS_PROFILE=nightly tries a hundred thousand examples of each."""

import os

from hypothesis import settings

from tests.kit.parallel import pytest_configure, pytest_xdist_auto_num_workers  # noqa: F401

# A gate decides the same about the same tree, each time; developers and nights explore.
settings.register_profile("quick", deadline=None, max_examples=200, derandomize="CI" in os.environ)
settings.register_profile("nightly", deadline=None, max_examples=100_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
