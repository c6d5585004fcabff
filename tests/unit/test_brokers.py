"""Which broker's client is needed, by the settings."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from orderkeep.brokers import audited_topic, make_publisher, source_of
from orderkeep.errors import ConfigurationError
from orderkeep.settings import Settings
from orderkeep.settings_load import load


@pytest.mark.parametrize("make", [source_of, make_publisher, audited_topic])
@pytest.mark.parametrize(
    ("source", "module", "extra"),
    [("kafka", "confluent_kafka", "kafka"), ("jetstream", "nats", "nats"), ("stan", "nats", "nats")],
)
def test_client_is_missing(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[Settings], Any], source: str, module: str, extra: str
) -> None:
    """Without the client of the broker that is chosen, the line says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"install orderkeep\[{extra}\]"):
        make(load({"source": source}))
