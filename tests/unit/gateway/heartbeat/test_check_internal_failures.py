"""Failures of the gateway itself are outcomes too, because users' requests would fail the same way."""

import threading

import pytest

from gateway.core.errors import KeyUnreadable
from gateway.heartbeat.check import HeartbeatCheck
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, Provider
from tests.unit.gateway.builders import AT, a_provider
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import LOGGER, good, target_for

# No stream is due.
HEALTHY = a_provider(health=Health("healthy"))


def test_reports_a_key_that_cannot_be_decrypted(upstream: Upstream) -> None:
    def unreadable(_: Provider) -> Target:
        raise KeyUnreadable

    outcome = HeartbeatCheck(upstream, unreadable, now=lambda: AT, logger=LOGGER).run(HEALTHY, slot=None)
    assert "cannot be decrypted" in str(outcome.error)


def test_reports_a_kms_that_does_not_answer(upstream: Upstream) -> None:
    released = threading.Event()

    def stuck(_: Provider) -> Target:
        released.wait(30)
        raise KeyUnreadable

    outcome = HeartbeatCheck(upstream, stuck, now=lambda: AT, logger=LOGGER, seconds=0.1).run(HEALTHY, slot=None)
    released.set()
    assert str(outcome.error) == (
        "KMS did not decrypt the provider's key within 0.1 s. Check the heartbeat function's network."
    )


def test_logs_an_unexpected_error_of_the_key_lookup(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Provider) -> Target:
        raise ZeroDivisionError

    error = str(HeartbeatCheck(upstream, broken, now=lambda: AT, logger=LOGGER).run(HEALTHY, slot=None).error)
    assert error.startswith("The gateway itself failed during this heartbeat")
    assert "logs of the heartbeat function" in error
    [line] = caplog.records
    assert line.exc_info
    assert line.exc_info[0] is ZeroDivisionError


def test_logs_an_unexpected_error_of_the_stream_watcher(
    patient_upstream: Upstream, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(StreamWatcher):
        def feed(self, chunk: bytes) -> bytes:
            raise ZeroDivisionError(chunk)

    check = HeartbeatCheck(patient_upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=30, new_watcher=Broken)
    outcome = check.run(a_provider(endpoint=serve(good).url), slot=None)
    assert (outcome.error or "").startswith("The gateway itself failed during this heartbeat")
    assert [line.levelname for line in caplog.records] == ["ERROR"]
