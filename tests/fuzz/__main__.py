"""`make fuzz`: runs many cases and prints their seed. CASES and SEED set the number and the seed."""

import os
import random
import sys

from tests.fuzz.run import run, table, target


def main() -> int:
    cases = int(os.environ.get("CASES") or 200)
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    command = f"make fuzz CASES={cases} SEED={seed}"
    print(f"{command} runs these cases again.", flush=True)
    with target() as gateway:
        result = run(gateway, cases=cases, seed=seed, echo=True)
        print(table(result, gateway.operations))
    if not result.passed:
        print(
            f"\nSome cases failed. `{command}` runs all cases again. To repeat one case, start `make dev` and run its"
        )
        print('curl line. Replace [Filtered] with "Authorization: Bearer $(make -s token ROLE=admin)".')
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
