"""Copies and runs bootstrap.local.example as an operator does."""

import os
import subprocess
from pathlib import Path

from tests.local_system import LocalSystem
from tests.template import ROOT

KEY = "your-tokenhub-api-key"


def filled_in(folder: Path, system: LocalSystem) -> Path:
    """Returns a copy that registers the TokenHub of this system."""
    script = folder / "bootstrap.local"
    text = (ROOT / "bootstrap.local.example").read_text()
    assert "http://localhost:8090/v1" in text
    script.write_text(text.replace("http://localhost:8090", system.tokenhub_url))
    script.chmod(0o755)
    return script


def run(script: Path, url: str, *, key: str | None = KEY, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the script with or without a key, and with these environment variables."""
    environment = {"PATH": os.environ["PATH"], "GATEWAY_URL": url, "WAIT_SECONDS": "110"} | variables
    if key is not None:
        environment["TOKENHUB_API_KEY"] = key
    return subprocess.run([str(script)], env=environment, capture_output=True, text=True, timeout=150, check=False)
