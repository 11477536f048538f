"""The template as the tests read it."""

import functools
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parent.parent


@functools.cache
def template() -> dict[str, Any]:
    """template.yaml, parsed; intrinsics in their long form."""
    return dict(yaml_parse((ROOT / "template.yaml").read_text()))


def table(logical_id: str) -> dict[str, Any]:
    """The arguments of CreateTable that a table resource stands for."""
    properties = template()["Resources"][logical_id]["Properties"]
    kept = ("AttributeDefinitions", "KeySchema", "BillingMode")
    return {name: properties[name] for name in kept}
