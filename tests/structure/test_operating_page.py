"""The template that docs/operating.md tells users to deploy."""

import re
import subprocess
import sys
from pathlib import Path

from tests.template import ROOT


def test_cfn_lint_accepts_the_template_of_the_mute_rule(tmp_path: Path) -> None:
    [template] = re.findall(r"```yaml\n(Parameters:.*?)```", (ROOT / "docs/operating.md").read_text(), re.DOTALL)
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    file = tmp_path / "mute.yaml"
    file.write_text(template)

    result = subprocess.run([cfn_lint, str(file)], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, ""), result.stderr
