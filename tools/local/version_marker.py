"""Marks a built template, so that also a change of a parameter alone makes new versions of the functions.

SAM names a version by a hash of its function's properties as they are written, and a parameter in them is its name only
(aws/serverless-application-model#3820): the alias, and so every caller, would go on with the old values.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from samcli.yamlhelper import yaml_parse

UNMARKED = "RELEASE: unmarked"  # in template.yaml, in the environment of every function


def marked(template: Path, overrides: Iterable[str]) -> Path:
    """A copy of the built template, beside it, that carries a hash of the parameters: their defaults and what is chosen
    instead. Systems that share a build may have other parameters, so it is not the template itself that is marked."""
    text = template.read_text()
    defaults = {name: declared.get("Default") for name, declared in yaml_parse(text)["Parameters"].items()}
    parameters = json.dumps([defaults, sorted(overrides)], sort_keys=True, default=str)
    release = hashlib.sha256(parameters.encode()).hexdigest()[:12]
    copy = template.with_name(f"template-{release}.yaml")
    copy.write_text(text.replace(UNMARKED, f"RELEASE: r{release}"))
    return copy
