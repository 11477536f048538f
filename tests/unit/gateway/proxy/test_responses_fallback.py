"""Which requests to `/responses` are sent to `/chat/completions` instead."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from gateway.core.errors import InvalidRequest, StreamTruncated
from gateway.core.request_errors import UnsupportedParameter
from gateway.proxy.request import ForwardRequest
from gateway.proxy.responses_fallback import REMEMBERED_SECONDS, ResponsesFallback
from gateway.proxy.upstream import Target, UpstreamResponse
from tests.unit.gateway.builders import KEY, SettableClock, a_request

TARGET = Target("main", "https://tokenhub.example.com/v1", version="1", key=KEY)
REQUEST = a_request(path="/responses", body=b'{"model": "gpt", "input": "Gr\xc3\xbc\xc3\x9fe"}')
NOT_FOUND = (404, b"404 page not found\n")

type Answer = tuple[int, bytes]


class Body:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self.is_closed = True


class Provider:
    """Answers `/responses` with `answer`, and all other paths with a completion."""

    def __init__(self, answer: Answer, headers: Mapping[str, str] | None = None) -> None:
        self.answer = answer
        self.headers = headers or {}
        self.requests: list[ForwardRequest] = []
        self.within: list[float] = []
        self.bodies: list[Body] = []

    def forward(self, request: ForwardRequest, _target: Target, *, within: float) -> UpstreamResponse:
        self.requests.append(request)
        self.within.append(within)
        status, body = self.answer if request.path == "/responses" else (200, b"{}")
        self.bodies.append(Body(body[:3], body[3:]))
        return UpstreamResponse(status, self.headers, self.bodies[-1], 1.0, lambda: None)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


def send(provider: Provider, request: ForwardRequest = REQUEST) -> UpstreamResponse:
    return ResponsesFallback(provider).forward(request, TARGET, within=5)


@pytest.mark.parametrize(
    "answer",
    [
        NOT_FOUND,
        (404, b""),
        (404, b'{"detail":"Not Found"}'),
        (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'),
        (404, b'{"error":{"message":"Invalid URL (POST /v1/responses)"}}'),
        (404, b'{"message":"Route POST:/v1/responses not found","error":"Not Found","statusCode":404}'),
        (404, b"<html><head><title>404 Not Found</title></head><body><center>nginx</center></body></html>"),
        (405, b"Method Not Allowed"),
    ],
)
def test_translates_for_a_provider_without_the_path(answer: Answer) -> None:
    provider = Provider(answer)

    response = send(provider)

    assert provider.paths == ["/responses", "/chat/completions"]
    assert json.loads(provider.requests[1].body or b"") == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "Grüße"}],
    }
    assert "Grüße".encode() in (provider.requests[1].body or b"")
    assert response.translation is not None
    assert provider.bodies[0].is_closed


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"{}"),
        (400, b"404 page not found"),
        (401, b"invalid api key"),
        (404, b'{"error":{"message":"The model `gpt` does not exist"}}'),
        (404, b'{"error":{"message":"Previous response with id \'resp_1\' not found."}}'),
        (502, b"404 page not found"),
    ],
)
def test_returns_every_other_answer_unread(answer: Answer) -> None:
    provider = Provider(answer)

    response = send(provider)

    assert provider.paths == ["/responses"]
    assert (response.status, b"".join(response.chunks)) == answer
    assert response.translation is None
    response.chunks.close()
    assert provider.bodies[0].is_closed


class BrokenBody(Body):
    """A body whose connection breaks after its pieces."""

    def __next__(self) -> bytes:
        try:
            return super().__next__()
        except StopIteration:
            raise StreamTruncated from None


def test_redacts_the_beginning_of_the_key_at_the_end_of_a_broken_answer() -> None:
    class Broken(Provider):
        def forward(self, _request: ForwardRequest, _target: Target, *, within: float) -> UpstreamResponse:
            return UpstreamResponse(404, {}, BrokenBody(f"wrong key {KEY[:30]}".encode()), within, lambda: None)

    response = send(Broken(NOT_FOUND))

    assert next(response.chunks) == b"wrong key [redacted]"
    with pytest.raises(StreamTruncated):
        next(response.chunks)


def test_returns_an_answer_that_tokenhub_relays() -> None:
    provider = Provider(NOT_FOUND, {"x-negotiated-model": "gpt"})

    assert send(provider).status == 404
    assert provider.paths == ["/responses"]


@pytest.mark.parametrize("change", [{"path": "/chat/completions"}, {"method": "GET", "body": None}])
def test_other_requests_pass_unchanged(change: dict[str, object]) -> None:
    provider, request = Provider(NOT_FOUND), replace(REQUEST, **change)  # type: ignore[arg-type]

    send(provider, request)

    assert provider.requests == [request]


@pytest.fixture
def fallback() -> tuple[Provider, SettableClock, Callable[[Target], list[str]]]:
    provider, clock = Provider(NOT_FOUND), SettableClock()
    fallback = ResponsesFallback(provider, clock=clock)

    def paths_for(target: Target) -> list[str]:
        provider.requests.clear()
        fallback.forward(REQUEST, target, within=5)
        return provider.paths

    assert paths_for(TARGET) == ["/responses", "/chat/completions"]
    return provider, clock, paths_for


type FallbackParts = tuple[Provider, SettableClock, Callable[[Target], list[str]]]


def test_remembers_a_version_without_the_path_for_ten_minutes(fallback: FallbackParts) -> None:
    _, clock, paths_for = fallback

    clock.now += REMEMBERED_SECONDS - 1
    assert paths_for(TARGET) == ["/chat/completions"]
    clock.now += 1
    assert paths_for(TARGET) == ["/responses", "/chat/completions"]


def test_tries_the_path_again_after_the_clock_was_set_back(fallback: FallbackParts) -> None:
    _, clock, paths_for = fallback

    clock.now -= 1

    assert paths_for(TARGET)[0] == "/responses"


def test_tries_the_path_of_another_version_or_provider(fallback: FallbackParts) -> None:
    provider, _, paths_for = fallback
    provider.answer = (200, b"{}")

    assert paths_for(replace(TARGET, version="2")) == ["/responses"]
    assert paths_for(replace(TARGET, provider_id="other")) == ["/responses"]
    assert paths_for(TARGET) == ["/chat/completions"]


def test_rejects_requests_that_cannot_be_translated() -> None:
    provider = Provider(NOT_FOUND)

    with pytest.raises(UnsupportedParameter):
        send(provider, replace(REQUEST, body=b'{"input": "a", "background": true}'))
    assert provider.paths == ["/responses"]


@pytest.mark.parametrize("field", [b'"temperature": 1e999', b'"metadata": {"a": -1e999}'])
def test_rejects_a_number_that_is_infinite(field: bytes) -> None:
    provider = Provider(NOT_FOUND)

    with pytest.raises(InvalidRequest, match="Send a smaller one"):
        send(provider, replace(REQUEST, body=b'{"input": "a", ' + field + b"}"))
    assert provider.paths == ["/responses"]


def test_a_provider_that_serves_the_path_gets_every_field() -> None:
    provider = Provider((200, b"{}"))

    send(provider, replace(REQUEST, body=b'{"input": "a", "background": true}'))

    assert provider.requests[0].body == b'{"input": "a", "background": true}'


def test_sends_half_of_a_surrogate_pair_as_an_escape() -> None:
    provider = Provider(NOT_FOUND)

    send(provider, replace(REQUEST, body=b'{"input": "\\ud83d"}'))

    assert b"\\ud83d" in (provider.requests[1].body or b"")


def test_the_translated_request_gets_the_remaining_time() -> None:
    provider = Provider(NOT_FOUND)

    send(provider)

    assert provider.within[1] < provider.within[0] == 5
