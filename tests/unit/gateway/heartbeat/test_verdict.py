"""What an operator reads: the exact text of each cause. It names the cause, and what to do."""

import gzip
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gateway.core.errors import GatewayError, KeyServiceFailed, KeyUnreadable
from gateway.heartbeat.check import Beat
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.key_cipher import FAILURES
from gateway.registry.provider import Health, Provider
from tests.unit.gateway.builders import AT, KEY, a_provider, completion
from tests.unit.gateway.certificates import server_context
from tests.unit.gateway.conftest import MakeUpstream, Serve
from tests.unit.gateway.servers import DONE, END, HANG, STREAM, Cut, Piece, always, answer, chunk, in_turn
from tests.unit.gateway.ticking import LOGGER

BEATEN = a_provider(health=Health("healthy"))
ALL_FAILED = answer(502, b'{"error": {"message": "all providers failed", "type": "server_error", "code": null}}')
CAUSE = answer(
    502, b'{"error": {"message": "all providers failed for streaming: API error (status 401): {\\"error\\": 1}"}}'
)
BUDGET = b'{"budget_usd":10,"error":"monthly budget exceeded","spent_usd":10.42}'
WRAPPED = completion('{"error": {"message": "Incorrect API key provided: sk-abcdefgh1234."}}', usage=None)
SPOKEN = b'data: {"model": "echo", "choices": [{"index": 0, "delta": {"content": "pong"}}]}\n\n'


def words(upstream: Upstream, endpoint: str, provider: Provider = BEATEN, *, seconds: float = 3) -> str | None:
    def target_for(provider: Provider) -> Target:
        return Target(provider.id, provider.endpoint, provider.model, key=KEY)

    beat = Beat(upstream, target_for, now=lambda: AT, logger=LOGGER, seconds=seconds)
    return beat.run(replace(provider, endpoint=endpoint), slot=None).error


class Deaf(httpx.BaseTransport):
    """A host behind a firewall that drops every packet."""

    def handle_request(self, _: httpx.Request) -> httpx.Response:
        try:
            raise TimeoutError
        except TimeoutError:
            raise httpx.ConnectTimeout("timed out")  # noqa: B904 -- as httpcore does it, the cause is its context


ANSWERS = [
    (
        (answer(401, b"invalid api key\n", "text/plain"),),
        (
            "HTTP 401: invalid api key. TokenHub refuses the registered key: "
            "register the provider again with a valid api_key."
        ),
    ),
    (
        (answer(401, b"invalid api key format\n", "text/plain"),),
        "HTTP 401: invalid api key format. A TokenHub key begins with tokenhub_: register the provider again with one.",
    ),
    (
        (answer(401, b"authorization required\n", "text/plain"),),
        (
            "HTTP 401: authorization required. TokenHub asks for a key, and none is registered: "
            "register the provider again with its api_key."
        ),
    ),
    (
        (answer(403, b"insufficient scope\n", "text/plain"),),
        "HTTP 403: insufficient scope. The registered key lacks the scope for this: give it the scope in TokenHub.",
    ),
    (
        (answer(429, BUDGET),),
        (
            "HTTP 429: monthly budget exceeded. The registered key's budget is spent: "
            "raise it in TokenHub, or register another key."
        ),
    ),
    (
        (answer(502, b'{"error":{"message":"no eligible models registered"}}'),),
        (
            "HTTP 502: no eligible models registered. TokenHub has no model that it can use now: "
            "each is missing, disabled or in its cooldown. Look at its models and providers."
        ),
    ),
    (
        (answer(404, b"404 page not found\n", "text/plain"),),
        "HTTP 404: 404 page not found. Nothing is served there: does the registered endpoint end in /v1?",
    ),
    ((answer(500),), "HTTP 500. TokenHub failed: look at its log."),
    (
        (answer(401, b"invalid api key\nxxx", "text/plain")[:-3], Cut.CLOSE),
        (
            "HTTP 401: invalid api key. TokenHub refuses the registered key: "
            "register the provider again with a valid api_key."
        ),
    ),
    (
        (answer(body=b"<!DOCTYPE html><title>Sign in</title>", content_type="text/html"),),
        (
            "HTTP 200: a web page came instead of an answer: something in front of TokenHub, like a login page, "
            "answers there. Register TokenHub's own address, ending in /v1."
        ),
    ),
    (
        (answer(body=b"pong", content_type="text/plain"),),
        "HTTP 200: the answer is no JSON: is it TokenHub that answers there, and does the endpoint end in /v1?",
    ),
    (
        (answer(body=gzip.compress(completion())),),
        "HTTP 200: the answer is no JSON: is it TokenHub that answers there, and does the endpoint end in /v1?",
    ),
    (
        (answer(body=WRAPPED),),
        (
            "HTTP 200: a model provider's error came as an answer: Incorrect API key provided: [redacted]. "
            "Users get it, too: set that right in TokenHub or at the model's provider."
        ),
    ),
    (
        (answer(body=b'{"error": "no credit"}'),),
        (
            "HTTP 200: a model provider's error came as an answer: no credit. "
            "Users get it, too: set that right in TokenHub or at the model's provider."
        ),
    ),
    (
        (answer(body=completion())[:-5], Cut.CLOSE),
        "HTTP 200: the answer broke off before its end: look at TokenHub's log, and at what stands in front of it.",
    ),
]


@pytest.mark.parametrize(("pieces", "expected"), ANSWERS)
def test_an_answer_that_is_no_completion(
    patient_upstream: Upstream, serve: Serve, pieces: tuple[Piece, ...], expected: str
) -> None:
    assert words(patient_upstream, serve(always(*pieces)).url) == expected


def test_all_providers_failed_with_and_without_the_cause(patient_upstream: Upstream, serve: Serve) -> None:
    assert words(patient_upstream, serve(in_turn((ALL_FAILED,), (CAUSE,))).url) == (
        'HTTP 502: all providers failed for streaming: API error (status 401): {"error": 1}. '
        "Every provider behind TokenHub failed, the last one as it says here: set that right in TokenHub."
    )
    assert words(patient_upstream, serve(always(ALL_FAILED)).url) == (
        "HTTP 502: all providers failed. Every provider behind TokenHub failed: look at TokenHub's log for the cause."
    )


STREAMS = [
    (
        (STREAM, chunk(SPOKEN), END),
        (
            "HTTP 200: the stream ended before its end mark. Users' streams break off, too: "
            "look at TokenHub's log, and at what stands in front of it."
        ),
    ),
    (
        (STREAM, chunk(SPOKEN), chunk(b'data: {"error": {"message": "overloaded"}}\n\n'), END),
        (
            "HTTP 200: the stream held an error: overloaded. Users' streams break, too: "
            "set that right in TokenHub or at the model's provider."
        ),
    ),
    (
        (STREAM, chunk(DONE), END),
        "HTTP 200: the stream held no chunk of an answer. Users' streams are empty, too: look at TokenHub's log.",
    ),
    (
        (answer(body=completion()),),
        (
            "HTTP 200: a stream was asked for, and the answer is none. Users' streams fail the same way: "
            "is it TokenHub that answers there, and does everything in front of it pass streams on?"
        ),
    ),
]


@pytest.mark.parametrize(("pieces", "expected"), STREAMS)
def test_a_stream_that_is_not_whole(
    patient_upstream: Upstream, serve: Serve, pieces: tuple[Piece, ...], expected: str
) -> None:
    assert words(patient_upstream, serve(always(*pieces)).url, a_provider()) == expected


def test_a_provider_that_cannot_be_reached(
    patient_upstream: Upstream, make_upstream: MakeUpstream, serve: Serve, certificate: Path
) -> None:
    assert words(patient_upstream, "http://127.0.0.1:9/v1") == (
        "http://127.0.0.1:9/v1 refused the connection. Is TokenHub running there, and is the port right?"
    )
    assert words(patient_upstream, "http://nosuch.invalid/v1") == (
        "The host name of http://nosuch.invalid/v1 is not known. Check its spelling and its DNS entry."
    )
    secure = serve(always(HANG), tls=server_context(certificate)).url
    assert words(patient_upstream, secure) == (
        f"The certificate of {secure} is not from a trusted authority. Give it one of a public authority."
    )
    deaf = make_upstream(transport=Deaf)
    assert words(deaf, "http://192.0.2.1/v1") == (
        "http://192.0.2.1/v1 did not accept a connection in time. Is the address right? Is a firewall in between?"
    )


def test_a_provider_that_does_not_answer(patient_upstream: Upstream, serve: Serve) -> None:
    hangs, begun = serve(always(HANG)).url, serve(always(answer(body=completion())[:-5], HANG)).url
    assert words(patient_upstream, hangs, seconds=0.2) == (
        f"{hangs} had not answered a ping after 0.2 s. Is TokenHub overloaded?"
    )
    assert words(patient_upstream, begun, seconds=0.2) == (
        f"HTTP 200: {begun} had begun to answer a ping, and was not done after 0.2 s. Is TokenHub overloaded?"
    )
    closes = serve(always(Cut.CLOSE)).url
    assert words(patient_upstream, closes) == (
        f"{closes} closed the connection without an HTTP response. "
        "Try again; if it stays so, check the port, and look at TokenHub's log."
    )


def test_a_provider_that_redirects(patient_upstream: Upstream, serve: Serve) -> None:
    url = serve(always(answer(302, location="https://login.example.com/"))).url
    assert words(patient_upstream, url) == (
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
def test_a_key_that_is_not_to_be_had(patient_upstream: Upstream, error: GatewayError, expected: str) -> None:
    def target_for(_: Provider) -> Target:
        raise error

    assert Beat(patient_upstream, target_for, now=lambda: AT, logger=LOGGER).run(BEATEN, slot=None).error == expected


def test_a_spent_budget_does_not_say_to_try_again(patient_upstream: Upstream, serve: Serve) -> None:
    assert "again" not in (words(patient_upstream, serve(always(answer(429, BUDGET))).url) or "again")


@pytest.mark.parametrize("text", ["<think>\nOkay", "<reasoning>", "<|channel|>", "<3", "< 5", "pong", "", "{}", "[1]"])
def test_a_models_own_text_without_a_usage_is_fine(patient_upstream: Upstream, serve: Serve, text: str) -> None:
    assert words(patient_upstream, serve(always(answer(body=completion(text, usage=None)))).url) is None


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><title>Sign in</title>",
        "<h1>502 Bad Gateway</h1>",
        "<Error><Code>AccessDenied</Code></Error>",
        "<!-- nginx --><html>",
        '{"error": "cut of',
        '{"error": {"message": "no"}} {"error": {}}',
        '{"type": "error", "error": {"message": "no"}}',
    ],
)
def test_a_providers_error_that_came_as_a_models_text_is_a_failure(
    patient_upstream: Upstream, serve: Serve, text: str
) -> None:
    said = words(patient_upstream, serve(always(answer(body=completion(text, usage=None)))).url)

    assert "a model provider's error came as an answer" in (said or "")


def test_a_model_that_is_called_like_a_key_keeps_its_name(patient_upstream: Upstream, serve: Serve) -> None:
    url = serve(always(answer(body=completion("pong", model="tokenhub_auto")))).url
    beat = Beat(patient_upstream, lambda _: Target("main", url, key=KEY), now=lambda: AT, logger=LOGGER)

    assert beat.run(BEATEN, slot=None).model == "tokenhub_auto"
