"""docs/local.md lists every outage of the rehearsal TokenHub."""

import re

from tests.template import ROOT
from tools.rehearsal.modes import MODES


def test_lists_every_outage() -> None:
    section = (ROOT / "docs/local.md").read_text().partition("## Rehearse an outage")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)

    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(MODES.keys() - {"normal"})
