"""docs/local.md lists every outage of the rehearsal TokenHub, and states the limits of the local system."""

import re

from tests.template import ROOT, template
from tools.local.apigateway.call_queue import MAX_WAIT_S, MAX_WAITING
from tools.rehearsal.modes import MODES


def test_lists_every_outage() -> None:
    section = (ROOT / "docs/local.md").read_text().partition("## Rehearse an outage")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)

    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(MODES.keys() - {"normal"})


def test_states_the_limits_of_waiting_calls() -> None:
    section = (ROOT / "docs/local.md").read_text().partition("## Limits")[2].partition("\n## ")[0]
    text = " ".join(section.split())
    age_s = template()["Resources"]["HeartbeatFunction"]["Properties"]["EventInvokeConfig"]["MaximumEventAgeInSeconds"]

    assert f"{MAX_WAITING} further calls wait, for {MAX_WAIT_S:g} seconds at most" in text
    assert f"{MAX_WAITING} calls already wait for a process, or this one waited {MAX_WAIT_S:g} seconds" in text
    assert f"Further ones wait for {age_s} seconds at most" in text
