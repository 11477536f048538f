"""The parsed template for tests."""

import functools
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parent.parent


@functools.cache
def template() -> dict[str, Any]:
    """template.yaml as a dict, with intrinsic functions in their long form."""
    return dict(yaml_parse((ROOT / "template.yaml").read_text()))


def table(logical_id: str) -> dict[str, Any]:
    """The CreateTable arguments of a table resource."""
    properties = template()["Resources"][logical_id]["Properties"]
    arguments = ("AttributeDefinitions", "KeySchema", "BillingMode")
    return {name: properties[name] for name in arguments}
