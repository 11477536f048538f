"""`make fuzz`: many cases with a seed that is printed. CASES and SEED choose them."""

import os
import random
import sys

from tests.fuzz.run import run, table, target


def main() -> int:
    cases = int(os.environ.get("CASES") or 200)
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    again = f"make fuzz CASES={cases} SEED={seed}"
    print(f"{again} runs these cases again.", flush=True)
    with target() as at:
        result = run(at, cases=cases, seed=seed, echo=True)
        print(table(result, at.operations))
    if not result.passed:
        print(f"\nIt failed. To repeat it all: {again}. To repeat one case, run its curl line against `make dev`,")
        print('with "Authorization: Bearer $(make -s token ROLE=admin)" where it says [Filtered].')
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
