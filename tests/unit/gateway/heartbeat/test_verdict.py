"""The exact error of each cause. It names the cause and says what to do."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.core.errors import GatewayError, KeyServiceFailed, KeyUnreadable
from gateway.heartbeat.check import HeartbeatCheck
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.key_cipher import FAILURES
from gateway.registry.provider import Health, Provider
from tests.scripted_server import DONE, END, HANG, STREAM, Cut, Piece, always, answer, chunk, in_turn
from tests.unit.gateway.builders import AT, KEY, a_provider, completion
from tests.unit.gateway.certificates import server_context
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.ticking import LOGGER, timed_out

HEALTHY = a_provider(health=Health("healthy"))
ALL_FAILED = answer(502, b'{"error": {"message": "all providers failed", "type": "server_error", "code": null}}')
CAUSE = answer(502, b'{"error": {"message": "all providers failed for streaming: API error (status 401): no"}}')
BUDGET = b'{"budget_usd":10,"error":"monthly budget exceeded","spent_usd":10.42}'
WRAPPED = completion('{"error": {"message": "Incorrect API key provided: sk-abcdefgh1234."}}', usage=None)
CONTENT = b'data: {"model": "echo", "choices": [{"index": 0, "delta": {"content": "pong"}}]}\n\n'


def error_of(upstream: Upstream, endpoint: str, provider: Provider = HEALTHY, *, seconds: float = 30) -> str | None:
    def target_for(provider: Provider) -> Target:
        return Target(provider.id, provider.endpoint, provider.model, key=KEY)

    check = HeartbeatCheck(upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=seconds)
    return check.run(replace(provider, endpoint=endpoint), slot=None).error


class Unanswering(httpx.BaseTransport):
    """A host behind a firewall that drops every packet."""

    def handle_request(self, _: httpx.Request) -> httpx.Response:
        try:
            raise TimeoutError
        except TimeoutError:
            # httpcore raises it without `from` too.
            raise httpx.ConnectTimeout("timed out")  # noqa: B904


ANSWERS = [
    (
        (answer(401, b"invalid api key\n", "text/plain"),),
        (
            "HTTP 401: invalid api key. TokenHub refuses the registered key. Register "
            "the provider again with a valid api_key."
        ),
    ),
    (
        (answer(401, b"invalid api key format\n", "text/plain"),),
        (
            "HTTP 401: invalid api key format. A TokenHub key starts with tokenhub_. "
            "Register the provider again with such a key."
        ),
    ),
    (
        (answer(401, b"authorization required\n", "text/plain"),),
        (
            "HTTP 401: authorization required. TokenHub requires a key, and none is registered. Register the provider "
            "again with its api_key."
        ),
    ),
    (
        (answer(403, b"insufficient scope\n", "text/plain"),),
        (
            "HTTP 403: insufficient scope. The registered key lacks the scope chat. Add it to the key in TokenHub. "
            "TokenHub takes up to 5 minutes to notice the change. Rotating the key in TokenHub takes effect at once."
        ),
    ),
    (
        (answer(429, BUDGET),),
        (
            "HTTP 429: monthly budget exceeded (budget_usd 10, spent_usd 10.42). The budget of the registered "
            "key is spent. Raise it in TokenHub, or register another key. "
            "TokenHub takes up to 5 minutes to notice the change. Rotating the key in TokenHub takes effect at once."
        ),
    ),
    (
        (answer(502, b'{"error":{"message":"no eligible models registered"}}'),),
        (
            "HTTP 502: no eligible models registered. Each of TokenHub's models is missing, disabled or "
            "in its cooldown. See `tokenhubctl health`."
        ),
    ),
    (
        (answer(404, b"404 page not found\n", "text/plain"),),
        (
            "HTTP 404: 404 page not found. The provider does not serve this path. "
            "Check that the registered endpoint ends in /v1."
        ),
    ),
    ((answer(500),), "HTTP 500. TokenHub failed. `tokenhubctl health` shows the state of its providers."),
    (
        (answer(401, b"invalid api key\nxxx", "text/plain")[:-3], Cut.CLOSE),
        (
            "HTTP 401: invalid api key. TokenHub refuses the registered key. Register "
            "the provider again with a valid api_key."
        ),
    ),
    (
        (answer(body=b"<!DOCTYPE html><title>Sign in</title>", content_type="text/html"),),
        (
            "HTTP 200: The answer is a web page, for example the login page of a proxy in front of TokenHub. "
            "Register TokenHub's own address, ending in /v1."
        ),
    ),
    (
        (answer(body=b"pong", content_type="text/plain"),),
        "HTTP 200: The answer is not JSON. Check that TokenHub listens there and that the endpoint ends in /v1.",
    ),
    (
        (answer(body=b"\x1f\x8b\x08" + completion()),),
        "HTTP 200: The answer is not JSON. Check that TokenHub listens there and that the endpoint ends in /v1.",
    ),
    (
        (answer(body=WRAPPED),),
        (
            "HTTP 200: The answer wraps an error of a model's provider: Incorrect API key provided: [redacted]. "
            "Users get it too. Fix it in TokenHub or at the model's provider."
        ),
    ),
    (
        (answer(body=b'{"error": "no credit"}'),),
        (
            "HTTP 200: The answer wraps an error of a model's provider: no credit. "
            "Users get it too. Fix it in TokenHub or at the model's provider."
        ),
    ),
    (
        (answer(body=completion())[:-5], Cut.CLOSE),
        (
            "HTTP 200: The answer ended before it was complete. "
            "See `tokenhubctl health` and the log of any proxy in front of TokenHub."
        ),
    ),
]


@pytest.mark.parametrize(("pieces", "expected"), ANSWERS)
def test_an_answer_without_a_completion(
    patient_upstream: Upstream, serve: Serve, pieces: tuple[Piece, ...], expected: str
) -> None:
    assert error_of(patient_upstream, serve(always(*pieces)).url) == expected


def test_all_providers_failed_with_and_without_the_cause(patient_upstream: Upstream, serve: Serve) -> None:
    assert error_of(patient_upstream, serve(in_turn((ALL_FAILED,), (CAUSE,))).url) == (
        "HTTP 502: all providers failed for streaming: API error (status 401): no. "
        "Every model provider of TokenHub failed; the message has the last one's error. Correct it in TokenHub. "
        "After a restart of TokenHub, run `tokenhubctl vault unlock`."
    )
    assert error_of(patient_upstream, serve(always(ALL_FAILED)).url) == (
        "HTTP 502: all providers failed. Every model provider of TokenHub failed. `tokenhubctl health` shows the cause."
    )


STREAMS = [
    (
        (STREAM, chunk(CONTENT), END),
        (
            "HTTP 200: The stream ended before its end marker, so users' streams break off too. "
            "See `tokenhubctl health` and the log of any proxy in front of TokenHub."
        ),
    ),
    (
        (STREAM, chunk(CONTENT), chunk(b'data: {"error": {"message": "overloaded"}}\n\n'), END),
        (
            "HTTP 200: The stream contains an error: overloaded. Users' streams break too. "
            "Fix it in TokenHub or at the model's provider."
        ),
    ),
    (
        (STREAM, chunk(DONE), END),
        "HTTP 200: The stream has no completion chunk, so users' streams are empty too. Check the model's provider.",
    ),
    (
        (answer(body=completion()),),
        (
            "HTTP 200: The answer to a streaming request is not a stream, so users' streams fail too. "
            "Check that TokenHub listens there and that every proxy in front of it passes streams through."
        ),
    ),
]


@pytest.mark.parametrize(("pieces", "expected"), STREAMS)
def test_an_incomplete_stream(
    patient_upstream: Upstream, serve: Serve, pieces: tuple[Piece, ...], expected: str
) -> None:
    assert error_of(patient_upstream, serve(always(*pieces)).url, a_provider()) == expected


def test_an_unreachable_provider(
    patient_upstream: Upstream, make_upstream: MakeUpstream, serve: Serve, certificate: Path
) -> None:
    assert error_of(patient_upstream, "http://127.0.0.1:9/v1") == (
        "http://127.0.0.1:9/v1 refused the connection. Check that TokenHub is running and that the port is right."
    )
    assert error_of(patient_upstream, "http://nosuch.invalid/v1") == (
        "The host name of http://nosuch.invalid/v1 cannot be resolved. Check its spelling and its DNS entry."
    )
    secure = serve(always(HANG), tls=server_context(certificate)).url
    assert error_of(patient_upstream, secure) == (
        f"The certificate of {secure} is not from a trusted authority. Install one from a public authority."
    )
    unanswering = make_upstream(transport=Unanswering)
    assert error_of(unanswering, "http://192.0.2.1/v1") == (
        "http://192.0.2.1/v1 did not accept a connection in time. Check the address and the firewalls in between."
    )


def test_a_provider_that_does_not_answer(patient_upstream: Upstream, serve: Serve) -> None:
    hangs, begun = serve(always(HANG)).url, serve(always(answer(body=completion())[:-5], HANG)).url
    with ThreadPoolExecutor() as executor:
        errors = list(
            executor.map(
                lambda url: timed_out(lambda: error_of(patient_upstream, url, seconds=2.5), 2.5), (hangs, begun)
            )
        )
    assert errors[0] == (
        f"{hangs} did not answer within 2.5 s. The model or TokenHub hangs or is overloaded: see `tokenhubctl health`."
    )
    assert errors[1] == (
        f"HTTP 200: {begun} began to answer but did not finish within 2.5 s. "
        "The model or TokenHub hangs or is overloaded: see `tokenhubctl health`."
    )
    closes = serve(always(Cut.CLOSE)).url
    assert error_of(patient_upstream, closes) == (
        f"{closes} closed the connection without an HTTP response. "
        "Try again; if it happens again, check the port, `tokenhubctl health` and TokenHub's standard error."
    )


def test_a_provider_that_redirects(patient_upstream: Upstream, serve: Serve) -> None:
    url = serve(always(answer(302, location="https://login.example.com/"))).url
    assert error_of(patient_upstream, url) == (
        f"{url} redirects (HTTP 302), and the gateway sends a key to no other address. Register the final address."
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            KeyUnreadable(),
            "The provider's stored key cannot be decrypted. Register the provider again with its api_key.",
        ),
        (
            KeyServiceFailed(FAILURES["AccessDeniedException"]),
            (
                "KMS denied the function access to the providers' keys. "
                "Restore the permission in the function's role and in the policy of the stack's KMS key."
            ),
        ),
        (
            KeyServiceFailed(FAILURES["KMSInvalidStateException"]),
            ("The stack's KMS key is pending deletion or being changed. Cancel its deletion and enable it."),
        ),
    ],
)
def test_an_unavailable_key(patient_upstream: Upstream, error: GatewayError, expected: str) -> None:
    def target_for(_: Provider) -> Target:
        raise error

    assert (
        HeartbeatCheck(patient_upstream, target_for, now=lambda: AT, logger=LOGGER).run(HEALTHY, slot=None).error
        == expected
    )


def test_a_spent_budget_does_not_say_to_try_again(patient_upstream: Upstream, serve: Serve) -> None:
    assert "again" not in (error_of(patient_upstream, serve(always(answer(429, BUDGET))).url) or "again")


def test_keeps_a_model_name_that_looks_like_a_key(patient_upstream: Upstream, serve: Serve) -> None:
    url = serve(always(answer(body=completion("pong", model="tokenhub_auto")))).url
    check = HeartbeatCheck(patient_upstream, lambda _: Target("main", url, key=KEY), now=lambda: AT, logger=LOGGER)

    assert check.run(HEALTHY, slot=None).model == "tokenhub_auto"
