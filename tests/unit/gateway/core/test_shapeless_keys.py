"""A provider repeats a registered key that no pattern matches: every place that shows its text redacts the key."""

import json

import pytest

from gateway.core.errors import ForwardingError
from gateway.heartbeat.probe import Probe, ProbeProgress
from gateway.proxy.provider_headers import PARSERS
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream
from tests.scripted_server import DONE, END, STREAM, Cut, Piece, always, answer, chunk
from tests.unit.gateway.builders import a_provider, completion
from tests.unit.gateway.conftest import Serve
from tests.unit.gateway.sending import read, send

KEY = "0123456789abcdef" * 4
ERROR = json.dumps({"error": {"message": f"repeated {KEY}"}})
DELTA = json.dumps({"model": KEY, "choices": [{"index": 0, "delta": {"content": "a"}}]})
SPOKEN = chunk(f"data: {DELTA}\n\n".encode())
REFUSED: dict[str, tuple[bool, tuple[Piece, ...]]] = {
    "a refusal": (False, (answer(502, ERROR.encode()),)),
    "an error for an answer": (False, (answer(body=ERROR.encode()),)),
    "a wrapped error": (False, (answer(body=completion(ERROR, usage=None)),)),
    "a refused stream": (True, (answer(502, ERROR.encode()),)),
    "an error for a stream": (True, (answer(body=ERROR.encode()),)),
    "an error in a stream": (True, (STREAM, chunk(f"event: error\ndata: {ERROR}\n\n".encode()), END)),
    "an error for the chunks of a stream": (True, (STREAM, chunk(ERROR.encode()), END)),
}


def ask(upstream: Upstream, url: str, *, stream: bool) -> ProbeProgress:
    progress = ProbeProgress()
    probe = Probe(upstream, StreamWatcher, within=30)
    probe.run(a_provider(), Target("main", url, key=KEY), progress, "max_tokens", stream=stream)
    return progress


def test_response_headers_never_contain_the_key(serve: Serve, upstream: Upstream) -> None:
    echoed = {name.replace("-", "_"): f"repeated {KEY}" for name in PARSERS if name != "content-type"}
    server = serve(always(answer(200, b"{}", f"text/plain; repeated={KEY}", **echoed)))

    response = send(upstream, server, key=KEY)
    read(response)

    models = dict.fromkeys(("x-negotiated-model", "x-alias-from"), "repeated [redacted]")
    assert response.headers == {"content-type": "text/plain"} | models


@pytest.mark.parametrize(("stream", "pieces"), REFUSED.values(), ids=REFUSED.keys())
def test_heartbeat_errors_never_contain_the_key(
    serve: Serve, upstream: Upstream, stream: bool, pieces: tuple[Piece, ...]
) -> None:
    with pytest.raises(ForwardingError) as refused:
        ask(upstream, serve(always(*pieces)).url, stream=stream)

    assert "repeated [redacted]" in str(refused.value)
    assert KEY not in str(refused.value)


def test_cut_answers_never_contain_the_beginning_of_the_key(serve: Serve, upstream: Upstream) -> None:
    echoed = f"bad key {KEY[:27]}".encode()
    head = b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n"

    with pytest.raises(ForwardingError) as refused:
        ask(upstream, serve(always(head + echoed, Cut.CLOSE)).url, stream=False)

    assert str(refused.value).startswith("bad key [redacted]. ")
    assert KEY[:4] not in str(refused.value)


@pytest.mark.parametrize(
    ("stream", "pieces"),
    [(False, (answer(body=completion(model=f"m {KEY}")),)), (True, (STREAM, SPOKEN, chunk(DONE), END))],
    ids=["answer", "stream"],
)
def test_model_names_never_contain_the_key(
    serve: Serve, upstream: Upstream, stream: bool, pieces: tuple[Piece, ...]
) -> None:
    model = ask(upstream, serve(always(*pieces)).url, stream=stream).model

    assert model is not None
    assert "[redacted]" in model
    assert KEY not in model
