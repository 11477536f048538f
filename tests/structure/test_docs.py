"""docs/errors.md against the code: every code stands in it with its status, and nothing else does."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.core import errors
from gateway.proxy import upstream_errors
from gateway.proxy.upstream_errors import FALLBACK_ERRORS, KNOWN_ERRORS, KnownError, upstream_error
from tests.template import ROOT, template
from tools.local.apigateway.gateway_responses import DEFAULT_RESPONSES

ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| (\w+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
IN_BAND = {"stream_idle_timeout", "stream_truncated"}  # a stream has begun where they happen
RETRIED = {408, 409, 429}  # and 5xx: openai and anthropic, _should_retry()


@dataclass(frozen=True)
class Told:
    """What the table says, or must say, of one code."""

    statuses: str
    source: str
    retried: str


def told() -> dict[str, Told]:
    rows = ROW.findall((ROOT / "docs/errors.md").read_text())
    assert len(rows) == len({row[0] for row in rows}), "a code stands there twice"
    return {code: Told(statuses, source, retried) for code, statuses, source, _, _, retried in rows}


def tried_again(status: int, *, retryable: bool) -> str:
    return "yes" if retryable and (status in RETRIED or status >= 500) else "no"


def classes(base: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    yield base
    for below in base.__subclasses__():
        yield from classes(below)


def of_the_gateway() -> Iterator[tuple[str, Told]]:
    for error in classes(errors.GatewayError):
        if error in (errors.ForwardingError, errors.ProviderError, errors.RelayedError):
            continue  # a family, the one whose codes are those of the refusals, and the one of any code
        retried = "in band" if error.code in IN_BAND else tried_again(error.status, retryable=error.retryable)
        yield error.code, Told(str(error.status), "gateway", retried)


def of_tokenhub() -> Iterator[tuple[str, Told]]:
    for known in KNOWN_ERRORS:
        statuses = sorted({other.status for other in KNOWN_ERRORS if other.code == known.code})
        retried = tried_again(known.status, retryable=known.retryable)
        yield known.code, Told(", ".join(map(str, statuses)), "provider", retried)
    for known in FALLBACK_ERRORS:
        retried = tried_again(known.status, retryable=known.retryable)
        yield known.code, Told(f"other {known.status // 100}xx", "provider", retried)


def of_the_door() -> Iterator[tuple[str, Told]]:
    responses = template()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    for kind, response in responses.items():
        [code] = re.findall(r'"code": "(\w+)"', response["ResponseTemplates"]["application/json"])
        status = int(response.get("StatusCode") or DEFAULT_RESPONSES[kind].status)
        statuses = f"other {kind[-3:].lower()}" if kind.startswith("DEFAULT_") else str(status)
        yield code, Told(statuses, "door", tried_again(status, retryable=True))


EXPECTED = [*of_the_gateway(), *of_tokenhub(), *of_the_door()]


@pytest.mark.parametrize(("code", "expected"), EXPECTED, ids=[code for code, _ in EXPECTED])
def test_each_code_stands_in_the_table_with_its_status_its_source_and_its_retries(code: str, expected: Told) -> None:
    assert told().get(code) == expected


def test_no_other_code_stands_in_the_table() -> None:
    assert set(told()) == {code for code, _ in EXPECTED}


def test_every_row_says_when_it_happens_and_what_to_do() -> None:
    rows = ROW.findall((ROOT / "docs/errors.md").read_text())

    assert all(when.strip() and remedy.strip() for _, _, _, when, remedy, _ in rows)
    assert len(rows) == (ROOT / "docs/errors.md").read_text().count("\n| `")


def test_no_refusal_stands_beside_the_two_lists_that_the_docs_and_the_openapi_document_are_held_to() -> None:
    listed = {*KNOWN_ERRORS, *FALLBACK_ERRORS}

    assert {value for value in vars(upstream_errors).values() if isinstance(value, KnownError)} <= listed


@pytest.mark.parametrize("words", ["", "<html>", *sorted({known.text for known in KNOWN_ERRORS if known.text})])
def test_whatever_a_provider_answers_its_error_has_a_code_and_a_status_that_stand_in_the_table(words: str) -> None:
    table = told()
    for status in range(100, 1000):  # what HTTP can say
        error = upstream_error(status, words.encode())
        row = table[error.code]

        assert str(error.status) in row.statuses.split(", ") or row.statuses == f"other {error.status // 100}xx", status
        assert row.source == error.source
