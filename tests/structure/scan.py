"""`python -m tests.structure.scan CHECKOV`: runs checkov on the rendered template, offline."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.structure.rendered import render


def scan(checkov: str) -> int:
    """Returns checkov's exit code: 0 without findings. The Metadata of a resource can skip a check with a reason."""
    with tempfile.TemporaryDirectory() as folder:
        rendered = Path(folder) / "template.json"
        rendered.write_text(json.dumps(_with_stage_metadata(render()), indent=1))
        options = ["--framework", "cloudformation", "--compact", "--quiet", "--skip-download"]
        return subprocess.run([checkov, "-f", str(rendered), *options], check=False).returncode


def _with_stage_metadata(template: dict[str, Any]) -> dict[str, Any]:
    """Copies the Metadata of the API to its stage, where checkov reads it and SAM does not write it."""
    resources = template["Resources"]
    for resource in resources.values():
        if resource["Type"] == "AWS::ApiGateway::Stage":
            resource["Metadata"] = resources[resource["Properties"]["RestApiId"]["Ref"]]["Metadata"]
    return template


if __name__ == "__main__":
    sys.exit(scan(sys.argv[1]))
