"""What a test needs of the machine; one that lacks it is skipped by name, or fails where all is required."""

import os

import pytest

ALL_REQUIRED = os.environ.get("ORDERKEEP_TEST_REQUIRE") == "all"


def need(condition: bool, reason: str) -> None:
    """Skip the test when `condition` is false; with ORDERKEEP_TEST_REQUIRE=all that is a failure."""
    if condition:
        return
    if ALL_REQUIRED:
        pytest.fail(f"required here, and missing: {reason}")
    pytest.skip(reason)
