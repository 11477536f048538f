"""The timeouts of one request to a provider, in httpcore's format."""

import time

import httpcore

from gateway.proxy.settings import Limits

CONNECT_ATTEMPTS = 2
MIN_TIMEOUT_SECONDS = 0.001


class RequestTimeouts:
    """Timeouts in seconds, none of them longer than `within`.

    httpcore reads `timeout` before it connects, before it reads the head and before it reads the body, and reports
    each step to `on_event` first. That allows a stream to start slowly and still limits its silence later.
    """

    def __init__(self, limits: Limits, *, stream: bool, within: float) -> None:
        now = time.monotonic()
        self._deadline = now + within
        self.first_byte = min(limits.first_byte if stream else limits.whole, within)
        self.silence = min(limits.stream_idle if stream else limits.whole, within)
        connect = min(limits.connect, within / CONNECT_ATTEMPTS)
        self._connect_deadline = now + connect
        # Whether the request opened a connection instead of using a kept one.
        self.opened_connection = False
        self.timeout = {"connect": connect, "pool": connect, "write": self.first_byte, "read": self.first_byte}

    def on_event(self, name: str) -> None:
        """Handles one httpcore trace event. Raises httpcore.ConnectTimeout if no time is left for a second attempt."""
        if name == "connection.retry.started" and time.monotonic() >= self._connect_deadline:
            raise httpcore.ConnectTimeout
        if name == "connection.connect_tcp.started":
            self.opened_connection = True
        elif name == "http11.receive_response_headers.started":
            self.timeout["read"] = self._remaining(self.first_byte)
        elif name == "http11.receive_response_body.started":
            self.timeout["read"] = self._remaining(self.silence)

    def _remaining(self, limit: float) -> float:
        return max(MIN_TIMEOUT_SECONDS, min(limit, self._deadline - time.monotonic()))
