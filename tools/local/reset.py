"""`python -m tools.local.reset`: forgets the data of the local system that `STATE` names."""

import os
import sys

from tools.local.settings import LocalError, Settings
from tools.local.state import reset


def main() -> None:
    """Exit code 1 with one sentence after trouble."""
    try:
        reset(Settings.from_environ(os.environ).state)
    except LocalError as error:
        sys.exit(str(error))
    print("The local system's data is gone; make dev begins anew.")


if __name__ == "__main__":
    main()
