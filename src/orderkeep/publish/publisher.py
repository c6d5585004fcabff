"""What `publish` needs of a broker, and a broker of memory for the fast tests."""

import time
from collections.abc import Callable
from typing import Protocol

from orderkeep.publish.message import GeneratedMessage

DeliveryCallback = Callable[[GeneratedMessage, int], None]
"""Called with a message the broker has, and the broker's timestamp for it in ms since 1970.

It runs inside `send`, `serve` or `flush`, in their thread.
"""


class Publisher(Protocol):
    """Sends messages, in order for equal keys; for one thread.

    After a message was given up, every call of `send`, `serve` or `flush` raises `Transient` or `Fatal`,
    whichever the cause is.
    """

    @property
    def delivered(self) -> int:
        """How many messages the broker has confirmed."""

    @property
    def failed(self) -> int:
        """How many messages were given up."""

    def send(self, message: GeneratedMessage) -> None:
        """Take a message for sending. Blocks while too much waits to be confirmed."""

    def serve(self, seconds: float) -> None:
        """Handle what the broker answers. Blocks for `seconds` at most, and may return earlier."""

    def flush(self, timeout: float) -> None:
        """Block until all is confirmed; raises `BrokerUnavailable` when it is not after `timeout` seconds."""

    def close(self) -> None:
        """Let go of the broker; what was not flushed may be lost."""


class MemoryPublisher:
    """Keeps what it is sent, in order, in `messages`."""

    def __init__(self, on_delivery: DeliveryCallback | None = None) -> None:
        self.messages: list[GeneratedMessage] = []
        self._on_delivery = on_delivery

    @property
    def delivered(self) -> int:
        return len(self.messages)

    @property
    def failed(self) -> int:
        return 0

    def send(self, message: GeneratedMessage) -> None:
        self.messages.append(message)
        if self._on_delivery is not None:
            self._on_delivery(message, time.time_ns() // 1_000_000)

    def serve(self, seconds: float) -> None:
        time.sleep(seconds)

    def flush(self, timeout: float) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """There is nothing to let go of."""
