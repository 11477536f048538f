import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.errors import FirstByteTimeout
from gateway.core.telemetry import make_logger
from gateway.proxy.request_log import (
    MAX_CLIENT_ID_CHARACTERS,
    MAX_MODEL_CHARACTERS,
    MAX_PARSED_BYTES,
    MAX_RESPONSE_ID_CHARACTERS,
    RequestLog,
    StreamEnd,
    write,
)
from gateway.proxy.upstream import Target
from gateway.proxy.usage import Usage
from tests.unit.gateway.builders import ENDPOINT, KEY, SettableClock, a_request


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def record(clock: SettableClock) -> RequestLog:
    request = a_request(model="asked", stream=True, body=b'{"messages": "a secret prompt"}')
    return RequestLog(request, clock, target=Target("main", ENDPOINT, key=KEY))


def written(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The log line and the metrics."""
    # A logger keeps the stdout with which it was created, so each test uses another one.
    logger = make_logger(uuid.uuid4().hex, "INFO")
    write(record, logger, "Ours")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (log,) = [line for line in lines if "message" in line]
    return log, [line for line in lines if "_aws" in line]


def values(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "_aws"}


def test_logs_no_model_name_of_a_path(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    record.request = replace(
        record.request, route="/v1/models/{model+}", path="/models/a%20secret%20prompt", model=None
    )

    log, _ = written(record, capsys)

    assert log["path"] == "/v1/models/{model+}"
    assert "provider_path" not in log
    assert "secret" not in json.dumps(log)


def test_counts_sent_bytes_and_times_the_first_one(record: RequestLog, clock: SettableClock) -> None:
    assert (record.ttfb_ms, record.bytes_down, record.chunks) == (None, 0, 0)
    for data in (b"abc", b"de"):
        clock.now += 0.25
        record.count(data)
    assert (record.ttfb_ms, record.bytes_down, record.chunks) == (250, 5, 2)
    assert record.elapsed_ms() == 500


def test_reads_model_and_usage_from_a_json_answer(record: RequestLog) -> None:
    record.read_answer(b'{"model": "served", "usage": {"prompt_tokens": 3, "completion_tokens": 0}}')
    assert (record.model_served, record.usage) == ("served", Usage(3, 0))


def test_reads_id_and_finish_reason_from_a_json_answer(record: RequestLog) -> None:
    record.read_answer(b'{"id": "chatcmpl-1", "choices": [{"finish_reason": "stop"}]}')
    assert (record.response_id, record.finish_reasons) == ("chatcmpl-1", ("stop",))


@pytest.mark.parametrize(
    "body",
    [b"", b"no", b"[]", b"\xff", b"[" * 100_000, b'{"model": {"a": "secret"}, "usage": 7}', b'{"usage": {"x": 1}}'],
)
def test_keeps_unknown_values_for_an_answer_without_them(record: RequestLog, body: bytes) -> None:
    record.read_answer(body)
    assert (record.model_served, record.usage) == (None, Usage())


def test_does_not_parse_a_very_long_answer(record: RequestLog) -> None:
    body = b'{"model": "served", "usage": {"prompt_tokens": 3}}'
    record.read_answer(body.ljust(MAX_PARSED_BYTES + 1))
    assert (record.model_served, record.usage) == (None, Usage())
    record.read_answer(body.ljust(MAX_PARSED_BYTES))
    assert (record.model_served, record.usage) == ("served", Usage(3, None))


def test_writes_one_log_line_per_request(
    record: RequestLog, clock: SettableClock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.now += 0.5
    record.count(b"abc")
    clock.now += 1
    record.status, record.stream_end, record.usage, record.model_served = 200, "done", Usage(3, 5), "served"
    record.translated, record.provider_ms, record.response_id = "anthropic", 450, "msg_1"
    log, _ = written(record, capsys)
    expected = {
        "message": "request",
        "request_id": "request-1",
        "path": "/chat/completions",
        "provider": "main",
        "status": 200,
        "stream": True,
        "stream_end": "done",
        "request_bytes": len(b'{"messages": "a secret prompt"}'),
        "bytes": 3,
        "chunks": 1,
        "provider_ms": 450,
        "ttfb_ms": 500,
        "duration_ms": 1500,
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "model_asked": "asked",
        "model_served": "served",
        "response_id": "msg_1",
        "translated": "anthropic",
    }
    assert {name: log.get(name) for name in expected} == expected


def test_logs_no_key_and_no_prompt(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    log, metrics = written(record, capsys)
    assert KEY not in repr((log, metrics))
    assert "secret" not in repr((log, metrics))


@pytest.mark.parametrize("key", [KEY, "c0ffee-9f8e7d6c5b4a39281706"])
def test_redacts_a_model_name_before_shortening_it(
    record: RequestLog, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record.target = Target("main", ENDPOINT, key=key)
    record.model_served = "m" * (MAX_MODEL_CHARACTERS - 10) + key
    log, _ = written(record, capsys)
    assert log["model_served"] == "m" * (MAX_MODEL_CHARACTERS - 10) + "[redacted]"


def test_omits_unknown_values_instead_of_writing_zero(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    log, metrics = written(record, capsys)
    names = ("ttfb_ms", "prompt_tokens", "completion_tokens", "model_served", "translated", "stream_end", "code")
    assert [log.get(name) for name in names] == [None] * 7
    assert not any({"PromptTokens", "CompletionTokens", "FirstByteTime"} & line.keys() for line in metrics)


def test_writes_metrics_for_all_providers_and_for_this_one(
    record: RequestLog, clock: SettableClock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.now += 0.5
    record.count(b"abc")
    clock.now += 1
    record.usage = Usage(3, 0)
    _, (overall, provider) = written(record, capsys)
    felt = {"Requests": [1.0], "RequestErrors": [0.0], "FirstByteTime": [500.0], "RequestTime": [1500.0]}
    assert values(overall) == felt | {"StreamsTruncated": [0.0]}
    assert values(provider) == felt | {"PromptTokens": [3.0], "CompletionTokens": [0.0], "provider": "main"}


def test_counts_a_truncated_stream_for_the_alarm(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    record.stream_end, record.code = "truncated", "stream_truncated"
    log, (overall, provider) = written(record, capsys)
    assert overall["StreamsTruncated"] == overall["RequestErrors"] == provider["RequestErrors"] == [1.0]
    assert log["code"] == "stream_truncated"


def test_logs_status_and_code_of_an_error(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    record.set_error(FirstByteTimeout("x"))
    log, _ = written(record, capsys)
    assert (log["status"], log["code"]) == (504, "first_byte_timeout")


def test_counts_an_error_that_reached_no_provider(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    record.target = None
    record.set_error(FirstByteTimeout("x"))
    _, (overall,) = written(record, capsys)
    assert (overall["Requests"], overall["RequestErrors"]) == ([1.0], [1.0])
    assert "provider" not in overall


def test_writes_metrics_in_the_given_namespace(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    _, metrics = written(record, capsys)
    assert {each["Namespace"] for line in metrics for each in line["_aws"]["CloudWatchMetrics"]} == {"Ours"}


def test_logs_the_callers_request_id_bounded_and_without_secrets(
    record: RequestLog, capsys: pytest.CaptureFixture[str]
) -> None:
    record.request = replace(record.request, client_request_id=f"a\x1b\n{KEY} " + "b" * 1000)
    log, _ = written(record, capsys)
    assert log["client_request_id"] == ("a[redacted] " + "b" * 1000)[:MAX_CLIENT_ID_CHARACTERS]


def test_omits_a_missing_request_id_of_the_caller(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    log, _ = written(record, capsys)
    assert log.get("client_request_id") is None


def test_logs_genai_names_beside_the_gateways_own(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    record.usage, record.model_served, record.finish_reasons = Usage(3, 5), "served", ("stop", "length")
    log, _ = written(record, capsys)
    assert {name: value for name, value in log.items() if name.startswith("gen_ai.")} == {
        "gen_ai.request.model": "asked",
        "gen_ai.response.model": "served",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.finish_reasons": ["stop", "length"],
    }


def test_omits_unknown_genai_fields(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    log, _ = written(record, capsys)
    known = {name for name, value in log.items() if name.startswith("gen_ai.") and value is not None}
    assert known == {"gen_ai.request.model"}


def test_logs_the_id_of_the_answer_bounded_and_without_secrets(
    record: RequestLog, capsys: pytest.CaptureFixture[str]
) -> None:
    record.response_id = f"a\x1b\n{KEY} " + "b" * 1000
    log, _ = written(record, capsys)
    assert log["response_id"] == ("a[redacted] " + "b" * 1000)[:MAX_RESPONSE_ID_CHARACTERS]


def test_redacts_a_key_in_a_finish_reason(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    shapeless = "c0ffee-9f8e7d6c5b4a39281706"
    record.target, record.finish_reasons = Target("main", ENDPOINT, key=shapeless), (shapeless,)
    log, _ = written(record, capsys)
    assert log["gen_ai.response.finish_reasons"] == ["[redacted]"]


def test_logs_the_callers_metadata_without_secrets(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    shapeless = "c0ffee-9f8e7d6c5b4a39281706"
    record.target = Target("main", ENDPOINT, key=shapeless)
    record.request = replace(record.request, metadata={"team\x1b": f"a {shapeless}", shapeless: "name"})
    log, _ = written(record, capsys)
    assert log["metadata"] == {"team": "a [redacted]", "[redacted]": "name"}


def test_omits_missing_metadata(record: RequestLog, capsys: pytest.CaptureFixture[str]) -> None:
    log, _ = written(record, capsys)
    assert log.get("metadata") is None


@pytest.mark.parametrize(("stream_end", "expected"), [("done", [150.0]), ("truncated", [150.0]), (None, None)])
def test_reports_the_mean_time_between_the_chunks_of_a_stream(
    record: RequestLog,
    clock: SettableClock,
    capsys: pytest.CaptureFixture[str],
    stream_end: StreamEnd | None,
    expected: list[float] | None,
) -> None:
    for pause in (2, 0.1, 0.2):
        clock.now += pause
        record.count(b"abc")
    clock.now += 5
    record.stream_end = stream_end
    _, (overall, provider) = written(record, capsys)
    assert overall.get("ChunkInterval") == expected
    assert "ChunkInterval" not in provider


@pytest.mark.parametrize("chunks", [0, 1])
def test_a_stream_with_fewer_than_two_chunks_has_no_interval(record: RequestLog, chunks: int) -> None:
    record.stream_end = "done"
    for _ in range(chunks):
        record.count(b"abc")
    assert record.chunk_interval_ms is None
