"""The tables that are computed: what the pages show is what the code says."""

import re

import pytest
import yaml

from tests.template import ROOT, template
from tools.docs import cost, parameters, tables

METRICS_PAGE = (ROOT / "docs/metrics.md").read_text()


@pytest.mark.parametrize("page", tables.PAGES)
def test_a_page_shows_what_make_docs_would_write(page: str) -> None:
    text = (ROOT / page).read_text()

    assert tables.filled(text) == text, "run `make docs`"


def test_every_table_stands_on_a_page() -> None:
    shown = [name for page in tables.PAGES for name, _ in tables.BLOCK.findall((ROOT / page).read_text())]

    assert sorted(shown) == sorted(tables.TABLES)


def test_the_configuration_table_has_every_parameter_with_its_default() -> None:
    rows = [row.split(" | ") for row in parameters.table().splitlines()]
    shown = {row[0].strip("| `"): row[1].strip("`") for row in rows if row[0].startswith("| `")}

    assert shown == {name: str(declared["Default"]) for name, declared in template()["Parameters"].items()}


def test_every_price_and_every_free_quantity_names_its_source() -> None:
    prices = [row.split(" | ") for row in cost.price_table().splitlines()[2:]]
    free = [row.split(" | ") for row in cost.free_table().splitlines()[2:-1]]

    assert len(prices) == len(cost.prices())
    # An Express workflow makes no transitions that are billed, so their free quantity saves nothing.
    assert len(free) == len(cost.free_quantities()) - 1
    assert all(row[-1].startswith("https://") for row in prices + free)


def test_free_tier_is_the_used_part_of_each_free_quantity() -> None:
    usd = cost.prices()
    all_used = sum(usd[name] * free for name, free in cost.free_quantities().items())
    streams_on_lambda = 400_000 * usd["lambda.gb_second_arm64"] + 1_000_000 * usd["lambda.request"]

    assert cost.free_tier(0) == pytest.approx(
        8 * 0.30
        + 3.00
        + 10 * 0.10
        + sum(part.fixed for part in cost.parts(usd) if part.name == "CloudWatch: logs")
        + cost.BEATS * (usd["lambda.request"] + 0.75 * usd["lambda.gb_second_arm64"])
        + 730 * usd["kms.request"]
    )
    assert streams_on_lambda < cost.free_tier(10**9) < cost.free_tier(10**9, express=False) <= all_used


def test_headline_states_the_totals_of_the_cost_table() -> None:
    table = {row.split(" | ")[0]: row.strip("| ").split(" | ")[1:] for row in cost.cost_table().splitlines()}
    dollars = re.findall(r"\$([\d.]+\d)", cost.headline())

    column = list(cost.LOADS).index("100,000")
    assert dollars == [
        table[row][load] for row in ("| **together**", "| together, less the always-free tier") for load in (0, column)
    ]
    assert f"{cost.STREAM_S:.0f} seconds" in cost.headline()


def test_every_price_is_used() -> None:
    used: set[str] = set()

    class Watched(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            used.add(name)
            return super().__getitem__(name)

    cost.parts(Watched(cost.prices()))
    cost.parts(Watched(cost.prices()), express=False)

    assert used == cost.prices().keys()


def test_the_sums_are_those_that_a_hand_makes() -> None:
    usd = dict.fromkeys(cost.prices(), 0.0)

    streams = cost.parts(usd | {"lambda.gb_second_arm64": 1.0})[0]
    assert streams.at(2) == 2 * 10
    standard = sum(part.fixed for part in cost.parts(usd | {"step_functions.standard_transition": 1.0}, express=False))
    assert standard == 43_800 * 5
    assert sum(part.fixed for part in cost.parts(usd | {"dynamodb.write": 1.0})) == 87_600 * 2
    read = cost.parts(usd | {"secrets_manager.request": 1.0})
    assert (sum(part.at(0) for part in read), sum(part.at(1) for part in read)) == (0, 17_520 * 4)


def test_providers_cost_what_they_add_to_a_beat_and_their_metrics() -> None:
    nothing = dict.fromkeys(cost.prices(), 0.0)

    def of(count: int, **usd: float) -> float:
        priced = nothing | {name.replace("__", "."): price for name, price in usd.items()}
        return sum(cost.idle_bill(priced, count).values())

    assert cost.idle_bill(cost.prices(), 1) == {part.name: part.fixed for part in cost.parts(cost.prices())}
    assert of(1000, cloudwatch__metric=1.0) == 6 + 2 * 1000
    assert of(1000, dynamodb__write=1.0) == 87_600 * 2 * 1000
    assert of(11, kms__request=1.0) == 11 * 730


def test_nobody_is_authorized_at_a_gateway_that_is_idle() -> None:
    usd = dict.fromkeys(cost.prices(), 0.0) | {"lambda.request": 1.0}

    assert sum(part.at(0) for part in cost.parts(usd)) == cost.BEATS


def test_the_largest_part_is_the_largest_on_both_sides_of_a_crossing() -> None:
    bill = [cost.Part("fixed", 10), cost.Part("steep", 0, 2), cost.Part("flat", 4, 1)]

    assert [(at, part.name) for at, part in cost.largest(bill)] == [(0, "fixed"), (5, "steep")]


def test_the_metrics_that_are_paid_for_are_those_of_the_metrics_page() -> None:
    rows = re.findall(r"^\| `\w+` \| \w+ \| (none|provider|none, provider) \| (each \w+)", METRICS_PAGE, re.MULTILINE)
    paid = [written for dimensions, written in rows for _ in dimensions.split(", ")]

    assert sum(written in ("each tick", "each beat") for written in paid) == cost.METRICS
    assert len(paid) == cost.METRICS + cost.METRICS_IN_USE


def test_the_workflow_is_what_the_cost_page_takes_it_for() -> None:
    workflow = template()["Resources"]["HeartbeatWorkflow"]["Properties"]

    assert workflow["Type"] == "EXPRESS"
    assert template()["Parameters"]["CompletionsMemory"]["Default"] == cost.COMPLETIONS_GB * 1024
    assert template()["Parameters"]["HeartbeatMemory"]["Default"] == cost.BEAT_GB * 1024


def test_ci_does_what_dot_ci_run_does_with_no_more_rights_than_it_needs() -> None:
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = ci["jobs"]["run"]["steps"]

    assert ci["permissions"] == {"contents": "read"}
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert all("@v" in step["uses"] for step in steps if "uses" in step)
    [python] = [step["with"] for step in steps if "setup-python" in step.get("uses", "")]
    assert python == {"python-version-file": ".python-version"}
