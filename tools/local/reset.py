"""`python -m tools.local.reset`: deletes the data of the local system in the folder that `STATE` names."""

import os
import sys

from tools.local.settings import Settings, UserError
from tools.local.state_folder import reset


def main() -> None:
    """Exits with code 1 and one sentence if the data cannot be deleted."""
    try:
        reset(Settings.from_environ(os.environ).state)
    except UserError as error:
        sys.exit(str(error))
    print("Deleted the local system's data. The next make dev starts empty.")


if __name__ == "__main__":
    main()
