"""The pages show the computed tables that the code writes, and the computations are correct."""

import re

import pytest
import yaml

from tests.template import ROOT, template
from tools.docs import cost, parameters, tables

METRICS_PAGE = (ROOT / "docs/metrics.md").read_text()


@pytest.mark.parametrize("page", tables.PAGES)
def test_pages_match_make_docs(page: str) -> None:
    text = (ROOT / page).read_text()

    assert tables.filled(text) == text, "run `make docs`"


def test_every_table_is_on_a_page() -> None:
    shown = [name for page in tables.PAGES for name, _ in tables.BLOCK.findall((ROOT / page).read_text())]

    assert sorted(shown) == sorted(tables.TABLES)


def test_configuration_table_lists_every_parameter() -> None:
    rows = [row.split(" | ") for row in parameters.table().splitlines()]
    shown = {row[0].strip("| `"): row[1].strip("`") for row in rows if row[0].startswith("| `")}

    assert shown == {name: str(declared["Default"]) for name, declared in template()["Parameters"].items()}


def test_every_price_has_a_source() -> None:
    rows = cost.price_table().splitlines()[2:]

    assert len(rows) == len(cost.prices())
    assert all(row.split(" | ")[-1].startswith(("https://", "unverified")) for row in rows)


def test_every_price_is_used() -> None:
    used: set[str] = set()

    class Recording(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            used.add(name)
            return super().__getitem__(name)

    cost.parts(Recording(cost.prices()))
    cost.parts(Recording(cost.prices()), express=False)

    assert used == cost.prices().keys()


def test_cost_matches_manual_calculation() -> None:
    usd = dict.fromkeys(cost.prices(), 0.0)

    streams = cost.parts(usd | {"lambda.gb_second_arm64": 1.0})[0]
    assert streams.at(2) == 2 * 15
    standard = sum(part.fixed for part in cost.parts(usd | {"step_functions.standard_transition": 1.0}, express=False))
    assert standard == 43_800 * 5
    assert sum(part.fixed for part in cost.parts(usd | {"dynamodb.write": 1.0})) == 87_600 * 2
    read = cost.parts(usd | {"secrets_manager.request": 1.0})
    assert (sum(part.at(0) for part in read), sum(part.at(1) for part in read)) == (0, 17_520 * 4)


def test_cost_per_provider() -> None:
    nothing = dict.fromkeys(cost.prices(), 0.0)

    def of(count: int, **usd: float) -> float:
        priced = nothing | {name.replace("__", "."): price for name, price in usd.items()}
        return sum(cost.of_providers(priced, count).values())

    assert cost.of_providers(cost.prices(), 1) == {part.name: part.fixed for part in cost.parts(cost.prices())}
    assert of(1000, cloudwatch__metric=1.0) == 6 + 2 * 1000
    assert of(1000, dynamodb__write=1.0) == 87_600 * 2 * 1000
    assert of(11, kms__request=1.0) == 11 * 730


def test_idle_gateway_has_no_authorizations() -> None:
    usd = dict.fromkeys(cost.prices(), 0.0) | {"lambda.request": 1.0}

    assert sum(part.at(0) for part in cost.parts(usd)) == cost.BEATS


def test_finds_the_largest_part_on_both_sides_of_a_crossing() -> None:
    bill = [cost.Part("fixed", 10), cost.Part("steep", 0, 2), cost.Part("flat", 4, 1)]

    assert [(at, part.name) for at, part in cost.largest(bill)] == [(0, "fixed"), (5, "steep")]


def test_billed_metrics_match_the_metrics_page() -> None:
    rows = re.findall(r"^\| `\w+` \| \w+ \| (none|provider|none, provider) \| (each \w+)", METRICS_PAGE, re.MULTILINE)
    paid = [written for dimensions, written in rows for _ in dimensions.split(", ")]

    assert sum(written in ("each tick", "each beat") for written in paid) == cost.METRICS
    assert len(paid) == cost.METRICS + cost.METRICS_IN_USE


def test_cost_assumptions_match_the_template() -> None:
    workflow = template()["Resources"]["HeartbeatWorkflow"]["Properties"]

    assert workflow["Type"] == "EXPRESS"
    assert template()["Parameters"]["CompletionsMemory"]["Default"] == cost.COMPLETIONS_GB * 1024
    assert template()["Parameters"]["HeartbeatMemory"]["Default"] == cost.BEAT_GB * 1024


def test_ci_runs_dot_ci_run_with_minimal_permissions() -> None:
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = ci["jobs"]["run"]["steps"]

    assert ci["permissions"] == {"contents": "read"}
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert all("@v" in step["uses"] for step in steps if "uses" in step)
    [python] = [step["with"] for step in steps if "setup-python" in step.get("uses", "")]
    assert python == {"python-version-file": ".python-version"}
