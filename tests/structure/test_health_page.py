"""docs/health.md's event and example rule against the event that the code makes."""

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
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


EVENT: dict[str, Any] = json.loads(block("json"))
RESOURCES: dict[str, Any] = yaml_parse(block("yaml"))
PATTERN: dict[str, Any] = RESOURCES["ProviderFailed"]["Properties"]["EventPattern"]


def event_of(change: RecordedBeat) -> dict[str, Any]:
    """As a rule sees it."""
    events = Mock()
    events.put_events.return_value = {"Entries": [{}]}
    publish(events, [change])
    [entry] = events.put_events.call_args.kwargs["Entries"]
    assert set(entry) == {"Source", "DetailType", "Detail"}  # no bus: the account's default one
    return {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}


def documented() -> RecordedBeat:
    """The change that the page tells of."""
    told = EVENT["detail"]
    before = a_provider(id=told["id"], name=told["name"], health=Health(told["old_status"]))
    outcome = Outcome(parse_timestamp(told["last_heartbeat_at"]), 12, error=told["error"])
    after = Health(
        told["new_status"],
        outcome.started_at,
        last_heartbeat_error=outcome.error,
        status_changed_at=parse_timestamp(told["changed_at"]),
    )
    return RecordedBeat(before, outcome, after)


def matches(pattern: Any, event: Any) -> bool:
    """EventBridge's own rule, as far as the page uses it."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            name in event and matches(below, event[name]) for name, below in pattern.items()
        )
    return event in pattern


def test_the_documented_event_is_the_one_that_the_code_makes_field_by_field() -> None:
    assert event_of(documented()) == EVENT


def test_the_documented_event_tells_a_refusal_as_the_code_does() -> None:
    refused = upstream_error(401, b"invalid api key\n")

    assert EVENT["detail"]["error"] == f"HTTP {refused.status}: {refused.message}"


def test_the_example_rule_takes_the_documented_event_and_none_of_a_healed_provider() -> None:
    healed = EVENT | {"detail": EVENT["detail"] | {"old_status": "failed", "new_status": "healthy", "error": None}}

    assert RESOURCES["ProviderFailed"]["Type"] == "AWS::Events::Rule"
    assert matches(PATTERN, event_of(documented()))
    assert not matches(PATTERN, healed)


def test_the_example_lets_its_rule_publish_to_the_topic_that_it_targets() -> None:
    [target] = RESOURCES["ProviderFailed"]["Properties"]["Targets"]
    policy = RESOURCES["TopicTakesEvents"]["Properties"]
    [statement] = policy["PolicyDocument"]["Statement"]

    assert target["Arn"] == statement["Resource"] == policy["Topics"][0] == {"Ref": "Topic"}
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
