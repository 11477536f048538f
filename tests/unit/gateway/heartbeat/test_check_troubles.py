"""What goes wrong on our own side is an outcome, too: users' requests would fail the same way."""

import threading

import pytest

from gateway.core.errors import KeyUnreadable
from gateway.heartbeat.check import Beat
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health, Provider
from tests.unit.gateway.builders import AT, a_provider
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import LOGGER, good, target_for

BEATEN = a_provider(health=Health("healthy"))  # no stream is due


def test_a_key_that_cannot_be_decrypted_is_an_outcome_too(upstream: Upstream) -> None:
    def unreadable(_: Provider) -> Target:
        raise KeyUnreadable

    outcome = Beat(upstream, unreadable, now=lambda: AT, logger=LOGGER).run(BEATEN, slot=None)
    assert "cannot be decrypted" in str(outcome.error)


def test_a_kms_that_does_not_answer_is_told_as_that(upstream: Upstream) -> None:
    free = threading.Event()

    def stuck(_: Provider) -> Target:
        free.wait(5)
        raise KeyUnreadable

    outcome = Beat(upstream, stuck, now=lambda: AT, logger=LOGGER, seconds=0.1).run(BEATEN, slot=None)
    free.set()
    assert str(outcome.error) == (
        "KMS had not decrypted the provider's key after 0.1 s: check the heartbeat function's network."
    )


def test_a_key_lookup_that_breaks_is_a_failure_and_the_cause_is_in_the_log(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Provider) -> Target:
        raise ZeroDivisionError

    error = str(Beat(upstream, broken, now=lambda: AT, logger=LOGGER).run(BEATEN, slot=None).error)
    assert error.startswith("The gateway itself failed during this heartbeat")
    assert "logs of the heartbeat function" in error
    [line] = caplog.records
    assert line.exc_info
    assert line.exc_info[0] is ZeroDivisionError


def test_a_stream_watcher_that_breaks_is_a_failure_too(
    patient_upstream: Upstream, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(StreamWatcher):
        def feed(self, chunk: bytes) -> bytes:
            raise ZeroDivisionError(chunk)

    beat = Beat(patient_upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=3, new_watcher=Broken)
    outcome = beat.run(a_provider(endpoint=serve(good).url), slot=None)
    assert (outcome.error or "").startswith("The gateway itself failed during this heartbeat")
    assert [line.levelname for line in caplog.records] == ["ERROR"]
