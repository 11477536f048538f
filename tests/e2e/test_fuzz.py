"""Schemathesis sends a thousand cases to the operations of the OpenAPI document. `make fuzz` sends many more."""

from collections.abc import Iterator

import pytest

from tests.fuzz.run import SCHEMATHESIS, Target, run, table, target

# Cases of each kind per operation, about a thousand in total.
CASES, SEED = 10, 1
# TokenHub answers 404 on these.
UNSERVED = {
    "GET /v1/models/{model}",
    "POST /v1/completions",
    "POST /v1/messages/count_tokens",
    "GET /anthropic/v1/models/{model}",
    "POST /anthropic/v1/messages/count_tokens",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="make .local/fuzz/ready installs Schemathesis"),
]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Target]:
    with target() as running:
        yield running


def test_answers_every_case_as_the_openapi_document_says(gateway: Target) -> None:
    result = run(gateway, cases=CASES, seed=SEED)

    print(table(result, gateway.operations))
    assert result.passed, result.output
    assert result.cases >= 900
    # Without a success the checks would have covered only errors of the operation.
    for operation in gateway.operations - UNSERVED:
        assert any(status < 300 for status in result.statuses[operation]), operation
