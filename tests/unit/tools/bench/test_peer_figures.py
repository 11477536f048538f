from collections.abc import Iterator

import httpx2
import openai
import pytest

from tools.bench.peer_figures import COLUMNS, Samples, StreamEnd, header, percentile, read_end, row, verdict

CHUNK = '{"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [%s]}'
TEXT = CHUNK % '{"index": 0, "delta": {"content": "Hel"}, "finish_reason": null}'
STOP = CHUNK % '{"index": 0, "delta": {}, "finish_reason": "stop"}'
ERROR = '{"error": {"message": "The stream ended early.", "code": "stream_truncated"}}'


def client(*frames: str) -> openai.OpenAI:
    """Returns an SDK client whose provider streams these frames."""
    body = "".join(f"data: {frame}\n\n" for frame in frames)
    response = httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=body)
    transport = httpx2.MockTransport(lambda _: response)
    return openai.OpenAI(base_url="http://a/v1", api_key="a", http_client=httpx2.Client(transport=transport))


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3.0, 1.0, 2.0], 50, 2.0), ([1.0, 2.0], 50, 1.0), ([*map(float, range(1, 101))], 99, 99.0), ([7.0], 99, 7.0)],
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: int, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_row_subtracts_the_time_of_direct_requests() -> None:
    direct = Samples(first_byte=[2.0, 1.0, 3.0], whole=[10.0])
    samples = Samples([7.0, 5.0, 6.0], [1.5], [14.0], [80.4], [99.6], 35.7, "an error")

    assert row("relay", samples, direct) == "| relay | 4.0 | 5.0 | 1.5 | 4.0 | 80 | 36 | 100 | an error |"


def test_header_has_a_separator_for_each_column() -> None:
    titles, separator = header().splitlines()

    assert titles.count("|") == separator.count("|") == len(COLUMNS) + 2


@pytest.mark.parametrize(
    ("frames", "end"),
    [
        ((TEXT, STOP, "[DONE]"), StreamEnd("Hel", "stop")),
        ((TEXT,), StreamEnd("Hel")),
        ((TEXT, ERROR, "[DONE]"), StreamEnd("Hel", None, "stream_truncated")),
    ],
)
def test_reads_text_finish_reason_and_error_of_a_stream(frames: tuple[str, ...], end: StreamEnd) -> None:
    assert read_end(client(*frames), "m") == end


def test_reports_a_broken_connection_as_an_error() -> None:
    class Broken(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield f"data: {TEXT}\n\n".encode()
            raise httpx2.RemoteProtocolError("incomplete chunked read")

    response = httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Broken())
    http_client = httpx2.Client(transport=httpx2.MockTransport(lambda _: response))
    broken = openai.OpenAI(base_url="http://a/v1", api_key="a", http_client=http_client, max_retries=0)

    assert read_end(broken, "m") == StreamEnd("Hel", None, "Connection error.")


@pytest.mark.parametrize(
    ("end", "description"),
    [
        (StreamEnd("Hel", "stop"), "half the answer as if whole: no error, `finish_reason` `stop`"),
        (StreamEnd("Hel"), "half the answer, no error, no `finish_reason`"),
        (StreamEnd("Hel", None, "stream_truncated"), "half the answer, then the error `stream_truncated`"),
        (StreamEnd("", "stop", "502"), "no text, then the error `502`"),
    ],
)
def test_describes_the_end_of_a_cut_stream(end: StreamEnd, description: str) -> None:
    assert verdict(end) == description
