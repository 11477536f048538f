import json

import pytest

from gateway.core.errors import ProviderError, StreamTruncated
from gateway.proxy.error_frames import error_frame, failed_response_frame


def test_error_frame_contains_the_error_and_its_source() -> None:
    error = error_frame(StreamTruncated())
    assert error.endswith(b"\n\n")
    assert error.count(b"\n\n") == 1
    data, event = error.decode().removesuffix("\n\n").split("\n")
    assert event == "event: error"
    assert data.startswith('data: {"error": {')
    content = json.loads(data.removeprefix("data: "))
    assert content["type"] == "error"
    assert content["error"] == StreamTruncated().body()["error"] | {
        "source": "gateway",
        "status": 502,
        "retryable": True,
    }


def test_error_frame_after_a_partial_frame_starts_with_a_blank_line() -> None:
    assert error_frame(StreamTruncated(), mid_frame=True) == b"\n\n" + error_frame(StreamTruncated())


@pytest.mark.parametrize(
    ("status", "retryable", "code"),
    [(429, True, "rate_limit_exceeded"), (401, False, "invalid_prompt"), (502, True, "server_error")],
)
def test_the_error_code_decides_whether_codex_sends_the_request_again(status: int, retryable: bool, code: str) -> None:
    error = ProviderError(status, "Broken.", code="model_error", retryable=retryable)

    frame = failed_response_frame(error, "resp_1", 3, mid_frame=False)

    content = json.loads(frame.decode().removeprefix("event: response.failed\ndata: "))
    assert content["response"]["error"] == {"code": code, "message": "Broken."}
