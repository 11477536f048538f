"""docs/health.md documents the event that the code publishes, and an example rule that matches it."""

import json
import re
from typing import Any
from unittest.mock import Mock

from samcli.yamlhelper import yaml_parse

from gateway.heartbeat.events import publish
from gateway.heartbeat.health import Outcome, RecordedBeat
from gateway.proxy.upstream_errors import upstream_error
from gateway.registry.provider import Health, parse_timestamp
from tests.template import ROOT
from tests.unit.gateway.builders import a_provider

PAGE = (ROOT / "docs/health.md").read_text()


def block(language: str) -> str:
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


EVENT: dict[str, Any] = json.loads(block("json"))
RESOURCES: dict[str, Any] = yaml_parse(block("yaml"))
PATTERN: dict[str, Any] = RESOURCES["ProviderFailed"]["Properties"]["EventPattern"]


def event_of(change: RecordedBeat) -> dict[str, Any]:
    """The event in the form that EventBridge rules match."""
    events = Mock()
    events.put_events.return_value = {"Entries": [{}]}
    publish(events, [change])
    [entry] = events.put_events.call_args.kwargs["Entries"]
    # Without a bus name the event goes to the default bus.
    assert set(entry) == {"Source", "DetailType", "Detail"}
    return {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}


def documented() -> RecordedBeat:
    """The health change of the documented event."""
    detail = EVENT["detail"]
    before = a_provider(id=detail["id"], name=detail["name"], health=Health(detail["old_status"]))
    outcome = Outcome(parse_timestamp(detail["last_heartbeat_at"]), 12, error=detail["error"])
    after = Health(
        detail["new_status"],
        outcome.started_at,
        last_heartbeat_error=outcome.error,
        status_changed_at=parse_timestamp(detail["changed_at"]),
    )
    return RecordedBeat(before, outcome, after)


def matches(pattern: Any, event: Any) -> bool:
    """EventBridge's matching, limited to what the page uses."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            name in event and matches(nested, event[name]) for name, nested in pattern.items()
        )
    return event in pattern


def test_documented_event_matches_published_event() -> None:
    assert event_of(documented()) == EVENT


def test_documented_error_matches_the_code() -> None:
    error = upstream_error(401, b"invalid api key\n")

    assert EVENT["detail"]["error"] == f"HTTP {error.status}: {error.message}"


def test_example_rule_matches_failures_only() -> None:
    recovered = EVENT | {"detail": EVENT["detail"] | {"old_status": "failed", "new_status": "healthy", "error": None}}

    assert RESOURCES["ProviderFailed"]["Type"] == "AWS::Events::Rule"
    assert matches(PATTERN, event_of(documented()))
    assert not matches(PATTERN, recovered)


def test_example_rule_may_publish_to_its_topic() -> None:
    [target] = RESOURCES["ProviderFailed"]["Properties"]["Targets"]
    policy = RESOURCES["TopicTakesEvents"]["Properties"]
    [statement] = policy["PolicyDocument"]["Statement"]

    assert target["Arn"] == statement["Resource"] == policy["Topics"][0] == {"Ref": "Topic"}
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
