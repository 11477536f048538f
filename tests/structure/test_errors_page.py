"""docs/errors.md lists exactly the error codes of the code and the template, with their status."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.core import answer_errors, errors, request_errors, status_errors
from gateway.proxy import known_errors
from gateway.proxy.known_errors import (
    FALLBACK_ERRORS,
    KNOWN_ERRORS,
    MODEL_ERRORS,
    MODEL_FALLBACK_ERRORS,
    KnownError,
    all_known_errors,
)
from gateway.proxy.upstream_errors import STREAM_ERROR_CODE, upstream_error
from tests.template import ROOT, template
from tools.local.apigateway.gateway_responses import DEFAULT_RESPONSES

ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([\w ]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
# These errors end a stream that has already sent its status.
IN_BAND = {"stream_idle_timeout", "stream_truncated"}
# The SDKs of OpenAI and Anthropic also retry every 5xx: see their _should_retry().
RETRIED = {408, 409, 429}


@dataclass(frozen=True)
class Row:
    """The row of one code in the table."""

    statuses: str
    source: str
    retried: str


def documented() -> dict[str, Row]:
    rows = ROW.findall((ROOT / "docs/errors.md").read_text())
    assert len(rows) == len({row[0] for row in rows}), "a code is listed twice"
    return {code: Row(statuses, source, retried) for code, statuses, source, _, _, retried in rows}


def retried_by_sdks(status: int, *, retryable: bool) -> str:
    return "yes" if retryable and (status in RETRIED or status >= 500) else "no"


def error_classes(base: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from error_classes(subclass)


def gateway_rows() -> Iterator[tuple[str, Row]]:
    # A class counts only once its module is imported.
    modules = {answer_errors.NotJson, request_errors.InvalidMetadata, status_errors.StatusPageOff}
    assert modules <= set(error_classes(errors.GatewayError))
    for error in error_classes(errors.GatewayError):
        # A base class, and two classes whose codes come from the provider's errors.
        if error in (errors.ForwardingError, errors.ProviderError, errors.RelayedError):
            continue
        retried = "in band" if error.code in IN_BAND else retried_by_sdks(error.status, retryable=error.retryable)
        yield error.code, Row(str(error.status), "gateway", retried)


def provider_rows() -> Iterator[tuple[str, Row]]:
    for known in (*KNOWN_ERRORS, *MODEL_ERRORS):
        statuses = sorted({other.status for other in all_known_errors() if other.code == known.code})
        retried = retried_by_sdks(known.status, retryable=known.retryable)
        yield known.code, Row(", ".join(map(str, statuses)), known.source, retried)
    for known in (*FALLBACK_ERRORS, *MODEL_FALLBACK_ERRORS):
        yield known.code, Row(f"other {known.status // 100}xx", known.source, fallback_retried(known))
    yield STREAM_ERROR_CODE, Row("502", "model", "in band")


def fallback_retried(known: KnownError) -> str:
    """Some statuses of the fallback for 4xx are retryable."""
    headers = {"x-negotiated-model": "m"} if known.source == "model" else {}
    received = [upstream_error(status, b"", headers=headers) for status in range(known.status, known.status + 100)]
    own = [error for error in received if error.code == known.code]
    retried = [error.status for error in own if retried_by_sdks(error.status, retryable=error.retryable) == "yes"]
    if len(retried) in (0, len(own)):
        return "yes" if retried else "no"
    return f"only {', '.join(map(str, retried))}"


def api_gateway_rows() -> Iterator[tuple[str, Row]]:
    responses = template()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    for kind, response in responses.items():
        [code] = re.findall(r'"code": "(\w+)"', response["ResponseTemplates"]["application/json"])
        status = int(response.get("StatusCode") or DEFAULT_RESPONSES[kind].status)
        statuses = f"other {kind[-3:].lower()}" if kind.startswith("DEFAULT_") else str(status)
        retryable = response["ResponseParameters"]["Headers"].get("X-Should-Retry") != "'false'"
        yield code, Row(statuses, "API Gateway", retried_by_sdks(status, retryable=retryable))


EXPECTED = [*gateway_rows(), *provider_rows(), *api_gateway_rows()]


@pytest.mark.parametrize(("code", "expected"), EXPECTED, ids=[code for code, _ in EXPECTED])
def test_documents_status_source_and_retries_of_each_code(code: str, expected: Row) -> None:
    assert documented().get(code) == expected


def test_documents_no_unknown_code() -> None:
    assert set(documented()) == {code for code, _ in EXPECTED}


def test_every_row_has_cause_and_remedy() -> None:
    rows = ROW.findall((ROOT / "docs/errors.md").read_text())

    assert all(when.strip() and remedy.strip() for _, _, _, when, remedy, _ in rows)
    assert len(rows) == (ROOT / "docs/errors.md").read_text().count("\n| `")


def test_every_known_error_is_in_a_documented_list() -> None:
    """The docs and the OpenAPI document are tested against these two lists."""
    listed = set(all_known_errors())

    assert {value for value in vars(known_errors).values() if isinstance(value, KnownError)} <= listed


@pytest.mark.parametrize("text", ["", "<html>", *sorted({known.text for known in KNOWN_ERRORS if known.text})])
@pytest.mark.parametrize("headers", [{}, {"x-negotiated-model": "m"}], ids=["tokenhub", "model"])
def test_every_provider_response_maps_to_a_documented_code(text: str, headers: dict[str, str]) -> None:
    table = documented()
    # Every status that HTTP can express.
    for status in range(100, 1000):
        error = upstream_error(status, text.encode(), headers=headers)
        row = table[error.code]

        assert str(error.status) in row.statuses.split(", ") or row.statuses == f"other {error.status // 100}xx", status
        assert row.source == error.source
