"""`python -m tests.soak`: runs load and faults for MINUTES (10, at most 120). Exits with 1 after a loss or a leak."""

import os
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Soak

MAX_MINUTES = 120


def main() -> None:
    minutes = float(os.environ.get("MINUTES") or 10)
    if not 0 < minutes <= MAX_MINUTES:
        sys.exit(f"MINUTES must be between 0 and {MAX_MINUTES}, not {minutes:g}.")
    seed = int(os.environ.get("SEED") or 1)
    print(f"{minutes:g} minutes of load and faults, SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        result = Soak(Path(folder) / "state", minutes, seed).run()
    print("\n".join(result.lines()))
    sys.exit(1 if result.problems else 0)


if __name__ == "__main__":
    main()
