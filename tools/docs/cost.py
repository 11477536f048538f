"""The monthly bill of a gateway, from the prices in docs/prices.toml and the assumptions below."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from tools.docs import roll_ups

ROOT = Path(__file__).parents[2]
MINUTES_PER_MONTH = 730 * 60
BEATS = 2 * MINUTES_PER_MONTH
HEADLINE_REQUESTS = 100_000
LOADS = {
    "idle": 0,
    "10,000": 10_000,
    "100,000": HEADLINE_REQUESTS,
    "1 million": 1_000_000,
    "100 million": 100_000_000,
}

# Assumptions about a request: half a page of text, streamed.
# Lambda bills a stream for its whole length, including the time in which the function only waits for the model.
STREAM_S = 10.0
# About 500 events of 200 bytes.
ANSWER_KB = 100
# The log line of the request, its metrics, and three lines of Lambda itself.
LOG_KB = 3
# Each execution environment caches a provider's record for 30 s.
READS_PER_REQUEST = 0.1
COMPLETIONS_GB = 0.5
# The init of a new execution environment, which Lambda bills too, and the share of requests that start one. The time
# is the CPU time in docs/benchmarks.md, because AWS gives an init a whole processor.
INIT_S = 0.45
INITS_PER_REQUEST = 0.01

# Assumptions about a heartbeat of one provider.
BEAT_S = 1.5
BEAT_GB = 0.5
WRITES_PER_BEAT = 2
READS_PER_BEAT = 2
BEAT_LOG_KB = 4

# What each further provider adds to a tick: docs/health.md has the measurements.
PROVIDERS = (1, 10, 100, 1000)
METRICS_OF_A_PROVIDER = 2
MORE_S = 0.004
MORE_LOG_KB = 0.4
# A share of one Scan: an item has about 1 KB, and a read unit covers 4 KB.
MORE_READS = 0.25

# The smallest amount of memory that Step Functions bills.
WORKFLOW_GB = 64 / 1024
WORKFLOW_S = 30 + BEAT_S
# Parallel, the two beats, the wait and the end.
TRANSITIONS = 5

# The custom metrics of docs/metrics.md: those of the ticks and of a beat, and those that requests add. Two are left
# out: AuthorizerFailures is written only when a token could not be checked, and HeartbeatFailuresMuted only while a
# provider is muted.
METRICS = 7 + 2
METRICS_IN_USE = 6 + 6

# In use, API Gateway calls the authorizer every five minutes for each of two tokens. Each time the authorizer's copies
# of the secrets are older than a minute, so it reads the current and the previous value of both.
AUTHORIZATIONS = 2 * MINUTES_PER_MONTH / 5
AUTHORIZATION_GB_S = 0.05
SECRETS_PER_AUTHORIZATION = 2 * 2

# Each execution environment decrypts a provider's key once, and lives for an hour or more.
DECRYPTIONS = 730
DECRYPTIONS_PER_REQUEST = 0.001
KB_PER_GB = 1024 * 1024

HEARTBEAT_AND_AUTHORIZER = "Lambda: heartbeat, and authorizer if there are requests"


@dataclass(frozen=True)
class Part:
    """A line of the bill, in dollars a month.

    `fixed` is always paid, `per_request` for each request, and `in_use` once if there are any requests.
    """

    name: str
    fixed: float
    per_request: float = 0.0
    in_use: float = 0.0

    def at(self, requests: float) -> float:
        """Returns the dollars of this line in a month with this many requests."""
        return self.fixed + (self.in_use if requests else 0.0) + self.per_request * requests


def prices() -> dict[str, float]:
    """Dollars by `service.unit`."""
    return {name: price["usd"] for name, price in declared().items()}


def free_quantities() -> dict[str, float]:
    """The quantity that AWS gives away each month in every account, by `service.unit`."""
    return {name: price["free"] for name, price in declared().items() if "free" in price}


def declared() -> dict[str, dict[str, Any]]:
    """The prices in docs/prices.toml by `service.unit`: dollars, source, and what is free."""
    services = tomllib.loads((ROOT / "docs/prices.toml").read_text())
    return {f"{service}.{unit}": price for service, units in services.items() for unit, price in units.items()}


def parts(usd: Mapping[str, float], *, express: bool = True) -> list[Part]:
    """The bill of a gateway with one provider."""
    gb_s, invocation = usd["lambda.gb_second_arm64"], usd["lambda.request"]
    beats = BEATS * (invocation + BEAT_S * BEAT_GB * gb_s)
    authorizations = AUTHORIZATIONS * (invocation + AUTHORIZATION_GB_S * gb_s)
    secrets_read = AUTHORIZATIONS * SECRETS_PER_AUTHORIZATION * usd["secrets_manager.request"]
    reads, writes = usd["dynamodb.read"], usd["dynamodb.write"]
    beat_units = WRITES_PER_BEAT * writes + READS_PER_BEAT * reads
    log_kb = usd["cloudwatch.log_gb"] / KB_PER_GB
    billed_s = STREAM_S + INITS_PER_REQUEST * INIT_S
    alarms, dashboards = _alarms_and_dashboards()
    return [
        Part("requests: Lambda while they stream", 0, COMPLETIONS_GB * billed_s * gb_s + invocation),
        Part("requests: API Gateway", 0, usd["api_gateway.request"]),
        Part("requests: data to the internet", 0, ANSWER_KB / KB_PER_GB * usd["data_transfer.out_gb"]),
        Part("heartbeat: workflow", _workflow(usd, express=express)),
        Part(HEARTBEAT_AND_AUTHORIZER, beats, in_use=authorizations),
        Part(
            "CloudWatch: metrics", METRICS * usd["cloudwatch.metric"], in_use=METRICS_IN_USE * usd["cloudwatch.metric"]
        ),
        Part(
            "CloudWatch: alarms, dashboard",
            alarms * usd["cloudwatch.alarm"] + dashboards * usd["cloudwatch.dashboard"],
        ),
        Part("CloudWatch: logs", BEATS * BEAT_LOG_KB * log_kb, LOG_KB * log_kb),
        Part("DynamoDB", BEATS * beat_units + roll_ups.dollars(usd), READS_PER_REQUEST * reads),
        Part(
            "KMS and Secrets Manager",
            usd["kms.key"] + DECRYPTIONS * usd["kms.request"] + 2 * usd["secrets_manager.secret"],
            DECRYPTIONS_PER_REQUEST * usd["kms.request"],
            in_use=secrets_read,
        ),
    ]


def _workflow(usd: Mapping[str, float], *, express: bool) -> float:
    if not express:
        return MINUTES_PER_MONTH * TRANSITIONS * usd["step_functions.standard_transition"]
    one = usd["step_functions.express_request"] + WORKFLOW_S * WORKFLOW_GB * usd["step_functions.express_gb_second"]
    return MINUTES_PER_MONTH * one


# The free tier calculates the bill once for each price, and a parse of the template takes a second.
@functools.cache
def _alarms_and_dashboards() -> tuple[int, int]:
    """The numbers of alarms and dashboards that every stack has."""
    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values()
    optional = {"DeploysGradually", "HasProviderAlarms"}
    kinds = [resource["Type"] for resource in resources if resource.get("Condition") not in optional]
    return kinds.count("AWS::CloudWatch::Alarm"), kinds.count("AWS::CloudWatch::Dashboard")


def free_dollars(requests: float, *, express: bool = True) -> dict[str, float]:
    """Dollars that the always-free tier takes off a month with this many requests, by `service.unit`.

    It assumes that nothing else in the account uses the free quantities. The bill is linear in each price, so the bill
    with a price of 1 for one unit and of 0 for the others is the quantity used of that unit.
    """
    usd = prices()
    nothing = dict.fromkeys(usd, 0.0)
    used = {name: total(parts(nothing | {name: 1.0}, express=express), requests) for name in free_quantities()}
    return {name: min(used[name], free) * usd[name] for name, free in free_quantities().items()}


def free_tier(requests: float, *, express: bool = True) -> float:
    """Dollars that the always-free tier takes off a month with this many requests."""
    return sum(free_dollars(requests, express=express).values())


def largest(bill: list[Part]) -> list[tuple[float, Part]]:
    """Returns each part that is the largest at some load, with the load from which it is the largest."""
    crossings = {
        (one.fixed + one.in_use - other.fixed - other.in_use) / (other.per_request - one.per_request)
        for one in bill
        for other in bill
        if one.per_request != other.per_request
    }
    points = [0.0, 1.0, *sorted(at for at in crossings if at > 1)]
    first = [(at, max(bill, key=lambda part: (part.at(at), part.per_request))) for at in points]
    return [first[0], *(now for before, now in pairwise(first) if now[1] != before[1])]


def idle_bill(usd: Mapping[str, float], providers: int) -> dict[str, float]:
    """Dollars a month of an idle gateway with this many providers, by part."""
    more = providers - 1
    one = {part.name: part.fixed for part in parts(usd)}
    per_beat = {
        "CloudWatch: logs": MORE_LOG_KB * usd["cloudwatch.log_gb"] / KB_PER_GB,
        "DynamoDB": WRITES_PER_BEAT * usd["dynamodb.write"] + MORE_READS * usd["dynamodb.read"],
        HEARTBEAT_AND_AUTHORIZER: MORE_S * BEAT_GB * usd["lambda.gb_second_arm64"],
    }
    grown = {name: one[name] + more * BEATS * dollars for name, dollars in per_beat.items()}
    grown["DynamoDB"] += more * roll_ups.dollars(usd)
    grown["CloudWatch: metrics"] = one["CloudWatch: metrics"] + more * METRICS_OF_A_PROVIDER * usd["cloudwatch.metric"]
    grown["KMS and Secrets Manager"] = one["KMS and Secrets Manager"] + more * DECRYPTIONS * usd["kms.request"]
    return one | grown


def total(bill: list[Part], requests: float) -> float:
    """Returns the dollars of a bill in a month with this many requests."""
    return sum(part.at(requests) for part in bill)
