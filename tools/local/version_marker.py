"""Marks a built template with a hash of its parameters, so that every parameter change publishes new function versions.

SAM names a version by a hash of the function's properties as written in the template, where a parameter appears only
by name (aws/serverless-application-model#3820). Without the mark, the alias would keep serving the old values.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from samcli.yamlhelper import yaml_parse


def write_marked_copy(template: Path, overrides: Iterable[str]) -> Path:
    """Writes a copy of the template beside it, marked with a hash of defaults and overrides. Returns its path.

    The template itself stays unmarked, because systems with other parameters may share the same build. The copy is
    JSON, because `sam deploy` parses it seven times, and YAML takes a hundred times longer.
    """
    marked = yaml_parse(template.read_text())
    defaults = {name: parameter.get("Default") for name, parameter in marked["Parameters"].items()}
    parameters = json.dumps([defaults, sorted(overrides)], sort_keys=True, default=str)
    release = hashlib.sha256(parameters.encode()).hexdigest()[:12]
    marked["Globals"]["Function"]["Environment"]["Variables"]["RELEASE"] = f"r{release}"
    copy = template.with_name(f"template-{release}.json")
    copy.write_text(json.dumps(marked))
    return copy
