"""Heartbeats whose answer is compressed although the gateway requested `identity`."""

import gzip
from dataclasses import replace

from gateway.heartbeat.check import HeartbeatCheck
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Health
from tests.scripted_server import always, answer
from tests.unit.gateway.builders import AT, a_provider, completion
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.ticking import LOGGER


def error_of(upstream: Upstream, endpoint: str) -> str | None:
    provider = replace(a_provider(health=Health("healthy")), endpoint=endpoint)
    check = HeartbeatCheck(upstream, lambda each: Target(each.id, each.endpoint), now=lambda: AT, logger=LOGGER)
    return check.run(provider, slot=None).error


def test_explains_an_answer_in_an_unknown_coding(patient_upstream: Upstream, serve: Serve) -> None:
    url = serve(always(answer(body=b"xyz", content_encoding="br"))).url
    assert error_of(patient_upstream, url) == (
        f"{url} compressed its answer with br, although the gateway requested an uncompressed one. "
        "Turn off that compression in the server in front of TokenHub."
    )


def test_accepts_a_compressed_completion(patient_upstream: Upstream, serve: Serve) -> None:
    server = serve(always(answer(body=gzip.compress(completion()), content_encoding="gzip")))
    assert error_of(patient_upstream, server.url) is None
