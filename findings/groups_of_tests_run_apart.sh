#!/usr/bin/env bash
# pytest-xdist with pytest 9.2: tests of one xdist_group run in several processes, without a warning.
#
# Versions: pytest 9.2.0 and 9.1.1, pytest-xdist 3.8.0 (PyPI, the newest of both in November 2026), Python 3.13.
# Expected: pytest-xdist documents that `--dist loadgroup` runs all tests of one `xdist_group` in one worker. It
#           requires pytest 7 or newer, so pip installs it beside 9.2.
# Seen:     with pytest 9.1.1, one worker runs the group, and its session fixture is set up once. With 9.2.0 the mark is
#           ignored: each test is distributed on its own, and the fixture is set up in every worker. Nothing fails, and
#           `--strict-markers` accepts the mark.
# Matters:  A suite that shares something expensive through a group starts it once per worker: here a whole local system,
#           three times at once. The suite only became slower (311 s of CPU instead of 254 s) and more often red.
#           Overriding `_split_scope` of a scheduler in `pytest_xdist_make_scheduler` works with both versions.
# Source:   pytest-xdist, docs "Running tests across multiple CPUs", option `--dist loadgroup`. pytest-xdist writes the
#           group into `item._nodeid` (`src/xdist/remote.py`), which pytest 9.2 no longer reads (`Node.nodeid` in
#           `src/_pytest/nodes.py`). https://github.com/pytest-dev/pytest-xdist/issues/1386
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > test_group.py <<'PYTHON'
import os
import pathlib

import pytest

pytestmark = pytest.mark.xdist_group("shared")


@pytest.fixture(scope="session")
def system():
    pathlib.Path(f"started-{os.getpid()}").touch()


@pytest.mark.parametrize("number", range(20))
def test_uses_the_shared_system(system, number):
    pass
PYTHON

# Prints how many workers started the shared fixture.
starts() {
  python3.13 -m venv "venv-$1"
  "venv-$1/bin/pip" install -q "pytest==$1" pytest-xdist==3.8.0
  rm -f started-*
  "venv-$1/bin/python" -m pytest -q --strict-markers -n 3 --dist loadgroup -p no:cacheprovider test_group.py >&2
  find . -maxdepth 1 -name 'started-*' | wc -l
}

before=$(starts 9.1.1)
after=$(starts 9.2.0)
echo "workers that started the shared fixture: $before with pytest 9.1.1, $after with pytest 9.2.0"
[[ $before -eq 1 && $after -eq 3 ]]
echo "confirmed: pytest 9.2.0 with pytest-xdist 3.8.0 ignores xdist_group"
