import posixpath
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import InvalidRequest
from gateway.proxy.paths import MAX_MODEL_CHARACTERS, provider_path
from gateway.proxy.request import read_request
from gateway.proxy.timeouts import RequestTimeouts
from gateway.proxy.upstream import Target, _build_request
from tests.unit.gateway.builders import a_request
from tests.unit.gateway.conftest import QUICK

ROUTE = "/models/{model+}"
ENDPOINT = "https://tokenhub.example.com/base/v1"
TRICKS = st.lists(
    st.sampled_from(
        ["..", ".", "/", "\\", "%2f", "%2e", "%252e", "%5c", "%00", "\x00", "\r\n", "?", "#", ";", "@", "a"]
    )
    | st.text(max_size=3)
).map("".join)


def path(model: str) -> str:
    return provider_path(ROUTE, {"model": model})


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", "/models/gpt-4o"),
        ("openai/gpt-4o", "/models/openai%2Fgpt-4o"),
        # API Gateway may leave a path parameter encoded.
        ("openai%2Fgpt-4o", "/models/openai%2Fgpt-4o"),
        ("ft:gpt 4?o#1", "/models/ft%3Agpt%204%3Fo%231"),
        ("…", "/models/%E2%80%A6"),
        ("...", "/models/..."),
        ("a" * MAX_MODEL_CHARACTERS, "/models/" + "a" * MAX_MODEL_CHARACTERS),
    ],
)
def test_sends_the_model_as_one_encoded_segment(model: str, expected: str) -> None:
    assert path(model) == expected


@pytest.mark.parametrize(
    "model",
    [
        *("", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../admin", "a/./b"),
        *("..%2fadmin", "%2e%2e/admin", "..%252fadmin", "%252e%252e", "a%", "%ff"),
        *("a\\b", "a%5cb", "a\nb", "a%0db", "a\x00b", "a\u2028b", "\ud800"),
        "a" * (MAX_MODEL_CHARACTERS + 1),
    ],
)
def test_rejects_names_that_could_leave_the_endpoint(model: str) -> None:
    with pytest.raises(InvalidRequest, match="The model name in the path is not valid") as raised:
        path(model)

    assert raised.value.param == "model"


def test_rejects_a_missing_model() -> None:
    with pytest.raises(InvalidRequest):
        provider_path(ROUTE, {})


@pytest.mark.parametrize("route", ["/chat/completions", "/models", "/messages/count_tokens"])
def test_keeps_a_route_without_a_model(route: str) -> None:
    assert provider_path(route, {"model": "../admin"}) == route


@given(TRICKS, st.integers(0, 2))
@example("../admin/v1/keys", 1)
@example("..%2f..%2fadmin", 0)
def test_the_upstream_path_never_leaves_the_endpoint(model: str, encodings: int) -> None:
    for _ in range(encodings):
        model = quote(model, safe="", errors="replace")
    sent = a_request(method="GET", body=None, path=ROUTE, path_parameters={"model": model})
    try:
        request = read_request(sent)
    except InvalidRequest:
        return
    timeouts = RequestTimeouts(QUICK, stream=False, within=1)
    raw = _build_request(request, Target("main", ENDPOINT), timeouts, lambda _: None).url.raw_path.decode()

    # However often a server decodes the path, and whichever separator it knows.
    for _ in range(4):
        assert posixpath.normpath(raw.replace("\\", "/")).startswith("/base/v1/models/")
        raw = unquote(raw)
