"""`make` on a machine that lacks what it needs."""

import subprocess
from pathlib import Path

from tests.template import ROOT


def test_explains_missing_python_3_13_in_one_sentence(tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], check=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    made = subprocess.run(
        ["make", "dev"], cwd=tmp_path / "clone", env=environment, capture_output=True, text=True, check=False
    )

    assert made.returncode != 0
    assert "Python 3.13 is needed" in made.stderr
    assert "Traceback" not in made.stderr
