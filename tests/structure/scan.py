"""`python -m tests.structure.scan CHECKOV`: checkov over the template as SAM renders it, without the network."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.structure.rendered import render


def scan(checkov: str) -> int:
    """The exit code: 0 where nothing is found but what a resource's Metadata explains."""
    with tempfile.TemporaryDirectory() as folder:
        rendered = Path(folder) / "template.json"
        rendered.write_text(json.dumps(_with_the_stages_checks(render()), indent=1))
        options = ["--framework", "cloudformation", "--compact", "--quiet", "--skip-download"]
        return subprocess.run([checkov, "-f", str(rendered), *options], check=False).returncode


def _with_the_stages_checks(template: dict[str, Any]) -> dict[str, Any]:
    """SAM leaves an Api's Metadata with the Api, and checkov looks for the stage's own."""
    resources = template["Resources"]
    for resource in resources.values():
        if resource["Type"] == "AWS::ApiGateway::Stage":
            resource["Metadata"] = resources[resource["Properties"]["RestApiId"]["Ref"]]["Metadata"]
    return template


if __name__ == "__main__":
    sys.exit(scan(sys.argv[1]))
