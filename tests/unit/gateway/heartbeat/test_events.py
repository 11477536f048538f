import json

import boto3
from botocore.stub import ANY, Stubber

from gateway.heartbeat.events import publish
from gateway.heartbeat.health import RecordedBeat
from gateway.registry.provider import Health
from tests.conftest import Aws
from tests.unit.gateway.builders import KEY, a_provider, after, an_outcome

BEFORE = a_provider(name="Main", key_ciphertext=KEY.encode(), health=Health("healthy"))
AFTER = Health("failed", after(2), 5, last_heartbeat_error="no", status_changed_at=after(1))
CHANGE = RecordedBeat(BEFORE, an_outcome(2, error="no"), AFTER)


def response(failed: int) -> dict[str, object]:
    entry = {"ErrorCode": "InternalFailure"} if failed else {"EventId": "1"}
    return {"FailedEntryCount": failed, "Entries": [entry]}


def test_publishes_the_old_and_the_new_status(aws: Aws) -> None:
    events = boto3.client("events")
    requests = []
    events.meta.events.register("provide-client-params.events.PutEvents", lambda params, **_: requests.append(params))
    with Stubber(events) as stub:
        stub.add_response("put_events", response(0), {"Entries": ANY})
        assert publish(events, [CHANGE]) == []
        stub.assert_no_pending_responses()
    (entry,) = requests[0]["Entries"]
    assert (entry["Source"], entry["DetailType"]) == ("tokenhub-gateway", "Provider Health Changed")
    assert json.loads(entry["Detail"]) == {
        "id": "main",
        "name": "Main",
        "old_status": "healthy",
        "new_status": "failed",
        "error": "no",
        "changed_at": "2026-01-02T03:04:06.678901Z",
        "last_heartbeat_at": "2026-01-02T03:04:07.678901Z",
        "planned": False,
    }
    assert KEY not in repr(requests)


def test_returns_rejected_events(aws: Aws) -> None:
    events = boto3.client("events")
    with Stubber(events) as stub:
        stub.add_response("put_events", response(1), {"Entries": ANY})
        assert publish(events, [CHANGE]) == [CHANGE]
