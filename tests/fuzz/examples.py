"""How many examples are tried: a few in every run, many when somebody asks for them."""

import os

LONG = os.environ.get("ORDERKEEP_TEST_FUZZ") == "long"
FACTOR = 50


def examples(count: int) -> int:
    """`count`, or fifty times as many with ORDERKEEP_TEST_FUZZ=long."""
    return count * FACTOR if LONG else count
