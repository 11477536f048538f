"""The generated tables, the version and CI: pages and configuration agree with the code."""

import re
import tomllib
from itertools import pairwise

import pytest
import yaml

from tests.template import ROOT, template
from tools.docs import cost, cost_tables, parameters, stranger, tables

METRICS_PAGE = (ROOT / "docs/metrics.md").read_text()


@pytest.mark.parametrize("page", tables.PAGES)
def test_page_is_up_to_date_with_make_docs(page: str) -> None:
    text = (ROOT / page).read_text()

    assert tables.filled(text) == text, "The page is out of date. Run `make docs`."


def test_every_table_is_on_a_page() -> None:
    shown = [name for page in tables.PAGES for name, _ in tables.BLOCK.findall((ROOT / page).read_text())]

    assert sorted(shown) == sorted(tables.TABLES)


def test_parameter_table_lists_every_parameter_with_its_default() -> None:
    rows = [row.split(" | ") for row in parameters.table().splitlines()]
    shown = {row[0].strip("| `"): row[1].strip("`") for row in rows if row[0].startswith("| `")}

    assert shown == {name: str(declared["Default"]) for name, declared in template()["Parameters"].items()}


def test_readme_price_is_the_total_of_the_cost_page() -> None:
    """100,000 requests cost as much as 10,000 plus the price of 90,000 more."""
    _, _, row = tables.price_rows().splitlines()
    idle, small = (float(cell) for cell in row.strip("| ").split(" | "))
    bill = cost.parts(cost.prices())
    ten_thousand, per_request = sum(part.at(10_000) for part in bill), sum(part.per_request for part in bill)

    assert f"| **total** | {idle} | {ten_thousand:.2f} |" in cost_tables.cost_table()
    assert small == pytest.approx(ten_thousand + 90_000 * per_request, abs=0.01)


def test_every_price_and_every_free_quantity_names_its_source() -> None:
    prices = [row.split(" | ") for row in cost_tables.price_table().splitlines()[2:]]
    free = [row.split(" | ") for row in cost_tables.free_table().splitlines()[2:-1]]

    assert len(prices) == len(cost.prices())
    # An Express workflow makes no transitions that are billed, so their free quantity saves nothing.
    assert len(free) == len(cost.free_quantities()) - 1
    assert all(row[-1].startswith("https://") for row in prices + free)


def test_free_tier_is_the_used_part_of_each_free_quantity() -> None:
    usd = cost.prices()
    all_used = sum(usd[name] * free for name, free in cost.free_quantities().items())
    streams_on_lambda = 400_000 * usd["lambda.gb_second_arm64"] + 1_000_000 * usd["lambda.request"]

    assert cost.free_tier(0) == pytest.approx(
        9 * 0.30
        + 3.00
        + 10 * 0.10
        + sum(part.fixed for part in cost.parts(usd) if part.name == "CloudWatch: logs")
        + cost.BEATS * (usd["lambda.request"] + 0.75 * usd["lambda.gb_second_arm64"])
        + 730 * usd["kms.request"]
    )
    assert streams_on_lambda < cost.free_tier(10**9) < cost.free_tier(10**9, express=False) <= all_used


def test_headline_states_the_totals_of_the_cost_table() -> None:
    table = {row.split(" | ")[0]: row.strip("| ").split(" | ")[1:] for row in cost_tables.cost_table().splitlines()}
    dollars = re.findall(r"\$([\d.]+\d)", cost_tables.headline())

    column = list(cost.LOADS).index("100,000")
    assert dollars == [
        table[row][load] for row in ("| **total**", "| total after the always-free tier") for load in (0, column)
    ]
    assert f"{cost.STREAM_S:.0f} seconds" in cost_tables.headline()


def test_init_time_is_that_of_completions_in_the_benchmarks() -> None:
    [milliseconds] = re.findall(r"^\| completions \| (\d+) \|", (ROOT / "docs/benchmarks.md").read_text(), re.MULTILINE)

    assert round(int(milliseconds) / 1000, 2) == cost.INIT_S


def test_wrong_tokens_are_limited_by_the_throttles_of_the_methods_with_an_authorizer() -> None:
    events = {
        (event["Properties"]["Method"], event["Properties"]["Path"])
        for resource in template()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api" and event["Properties"].get("Auth", {}).get("Authorizer") != "NONE"
    }
    # The data of the status page has its own, lower throttle.
    rate = (len(events) - 1) * 200 + 20

    assert ("GET", "/status/data") in events
    assert f"| a wrong token, all methods | {rate:,} a second (all throttles) |" in stranger.stranger_table()


def test_methods_together_are_limited_by_the_rate_of_the_account() -> None:
    calls = [{"Path": "/v1/models", "Method": "GET"}]

    assert stranger.total_rate(template(), calls) == 200
    assert stranger.total_rate(template(), calls * 100) == stranger.ACCOUNT_RATE


def test_short_calls_cost_a_stranger_more_than_streams() -> None:
    rows = [row.split(" | ") for row in stranger.stranger_table().splitlines()]
    an_hour = {(row[0].strip("| "), row[1]): float(row[2].replace(",", "")) for row in rows[2:]}
    limit = f"`CompletionsConcurrency={stranger.RESERVED}`"

    assert an_hour["the client token, short calls of all methods", limit] > an_hour["the client token, streams", limit]


def test_every_price_is_used() -> None:
    used: set[str] = set()

    class Recording(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            used.add(name)
            return super().__getitem__(name)

    cost.parts(Recording(cost.prices()))
    cost.parts(Recording(cost.prices()), express=False)

    assert used == cost.prices().keys()


def test_totals_equal_hand_computed_totals() -> None:
    usd = dict.fromkeys(cost.prices(), 0.0)

    streams = cost.parts(usd | {"lambda.gb_second_arm64": 1.0})[0]
    assert streams.at(2) == pytest.approx(2 * (10 + 0.01 * 0.45) * 0.5)
    standard = sum(part.fixed for part in cost.parts(usd | {"step_functions.standard_transition": 1.0}, express=False))
    assert standard == 43_800 * 5
    assert sum(part.fixed for part in cost.parts(usd | {"dynamodb.write": 1.0})) == 87_600 * 2 + 1_460 * 7
    read = cost.parts(usd | {"secrets_manager.request": 1.0})
    assert (sum(part.at(0) for part in read), sum(part.at(1) for part in read)) == (0, 17_520 * 4)


def test_more_providers_add_metrics_writes_and_decryptions() -> None:
    nothing = dict.fromkeys(cost.prices(), 0.0)

    def of(count: int, **usd: float) -> float:
        priced = nothing | {name.replace("__", "."): price for name, price in usd.items()}
        return sum(cost.idle_bill(priced, count).values())

    assert cost.idle_bill(cost.prices(), 1) == {part.name: part.fixed for part in cost.parts(cost.prices())}
    assert of(1000, cloudwatch__metric=1.0) == 7 + 2 * 1000
    assert of(1000, dynamodb__write=1.0) == (87_600 * 2 + 1_460 * 7) * 1000
    assert of(11, kms__request=1.0) == 11 * 730


def test_idle_gateway_pays_for_no_authorization() -> None:
    usd = dict.fromkeys(cost.prices(), 0.0) | {"lambda.request": 1.0}

    assert sum(part.at(0) for part in cost.parts(usd)) == cost.BEATS


def test_largest_part_changes_at_each_crossing() -> None:
    bill = [cost.Part("fixed", 10), cost.Part("steep", 0, 2), cost.Part("flat", 4, 1)]

    assert [(at, part.name) for at, part in cost.largest(bill)] == [(0, "fixed"), (5, "steep")]


def test_cost_counts_the_metrics_of_the_metrics_page() -> None:
    rows = re.findall(r"^\| `\w+` \| \w+ \| (none|provider|none, provider) \| (each \w+)", METRICS_PAGE, re.MULTILINE)
    paid = [written for dimensions, written in rows for _ in dimensions.split(", ")]

    assert sum(written in ("each tick", "each heartbeat") for written in paid) == cost.METRICS
    assert len(paid) == cost.METRICS + cost.METRICS_IN_USE


def test_template_matches_the_assumptions_of_the_cost_page() -> None:
    workflow = template()["Resources"]["HeartbeatWorkflow"]["Properties"]

    assert workflow["Type"] == "EXPRESS"
    assert template()["Parameters"]["CompletionsMemory"]["Default"] == cost.COMPLETIONS_GB * 1024
    assert template()["Parameters"]["HeartbeatMemory"]["Default"] == cost.BEAT_GB * 1024


def test_ci_runs_dot_ci_run_with_read_permissions_only() -> None:
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = ci["jobs"]["run"]["steps"]

    assert ci["permissions"] == {"contents": "read"}
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert all("@v" in step["uses"] for step in steps if "uses" in step)
    [python] = [step["with"] for step in steps if "setup-python" in step.get("uses", "")]
    assert python == {"python-version-file": ".python-version"}


def test_only_the_newest_changelog_heading_repeats_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(r"^## (\d+\.\d+\.\d+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    kinds = ("*.py", "*.md", "*.yaml", "*.yml", "*.toml", "Makefile")
    folders = (ROOT / "functions", ROOT / "layers", ROOT / "tools", ROOT / "docs", ROOT / ".github")
    files = [path for kind in kinds for folder in folders for path in folder.rglob(kind)]
    files += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "template.yaml", "Makefile")]
    # The streaming layer has its own version, which layers/streaming/tests/test_package.py checks.
    own_version = {ROOT / "layers/streaming" / name for name in ("pyproject.toml", "CHANGELOG.md")}
    stated = re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d.]*\d)")

    assert released[0] == version
    assert [path.name for path in files if path not in own_version and stated.search(path.read_text())] == []


@pytest.mark.parametrize("page", ["CHANGELOG.md", "layers/streaming/CHANGELOG.md"])
def test_no_blank_line_splits_a_list_of_the_changelog(page: str) -> None:
    blocks = (ROOT / page).read_text().split("\n\n")

    assert [after for before, after in pairwise(blocks) if after.startswith("- ") and not before.startswith("#")] == []


def test_pre_commit_runs_the_commands_of_make_check() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(python)", ".venv/bin/python")
    [recipe] = re.findall(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"].removeprefix("env SAM_CLI_TELEMETRY=0 ") for hook in local["hooks"]]

    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    assert entries == [line.strip() for line in recipe.splitlines()]
