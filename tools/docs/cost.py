"""What a gateway costs a month, from the prices in prices.toml and the assumptions below."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]
MINUTES = 730 * 60  # in a month
BEATS = 2 * MINUTES
LOADS = {"idle": 0, "10,000": 10_000, "1 million": 1_000_000, "100 million": 100_000_000}

# Assumptions about a request: half a page of text, streamed.
STREAM_S = 15.0  # Lambda is paid for as long as the stream lasts, also while it only waits for the model
ANSWER_KB = 100  # about 500 events of 200 bytes
LOG_KB = 3  # a line, its metrics, and Lambda's own three
READS_PER_REQUEST = 0.1  # a record is kept for 30 s in each environment
COMPLETIONS_GB = 1.0
# Assumptions about a beat of one provider.
BEAT_S = 1.5
BEAT_GB = 0.5
WRITES_PER_BEAT = 2
READS_PER_BEAT = 2
BEAT_LOG_KB = 4
# And of each provider more, in one tick with the others: docs/health.md has the measurements.
PROVIDERS = (1, 10, 100, 1000)
METRICS_OF_A_PROVIDER = 2
MORE_S = 0.004
MORE_LOG_KB = 0.4
MORE_READS = 0.25  # of a Scan: an item of about 1 KB
WORKFLOW_GB = 64 / 1024  # the least that is counted
WORKFLOW_S = 30 + BEAT_S
TRANSITIONS = 5  # Parallel, the two beats, the wait and the end
# The custom metrics of docs/metrics.md: those of the ticks and of a beat, and those that requests add. One is left out:
# it is written only when a token could not be checked.
METRICS = 6 + 2
METRICS_IN_USE = 5 + 6
# In use: the door asks the authorizer once in five minutes for each token, of which there are two, and each time its
# copies of the secrets are older than a minute, so it reads both stages of both.
AUTHORIZATIONS = 2 * MINUTES / 5
AUTHORIZATION_GB_S = 0.05
SECRETS_PER_AUTHORIZATION = 2 * 2
# A provider's key is decrypted once in each execution environment, which lives for an hour or more.
DECRYPTIONS = 730
DECRYPTIONS_PER_REQUEST = 0.001
KB_PER_GB = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """A line of the bill: dollars a month, for each request on top, and for there being requests at all."""

    name: str
    fixed: float
    per_request: float = 0.0
    in_use: float = 0.0

    def at(self, requests: float) -> float:
        return self.fixed + (self.in_use if requests else 0.0) + self.per_request * requests


def prices() -> dict[str, float]:
    """Dollars by `service.unit`."""
    services = tomllib.loads((ROOT / "docs/prices.toml").read_text())
    return {f"{service}.{unit}": price["usd"] for service, units in services.items() for unit, price in units.items()}


def parts(usd: Mapping[str, float], *, express: bool = True) -> list[Part]:
    """The bill of a gateway with one provider."""
    gb_s, invocation = usd["lambda.gb_second_arm64"], usd["lambda.request"]
    beats = BEATS * (invocation + BEAT_S * BEAT_GB * gb_s)
    authorizations = AUTHORIZATIONS * (invocation + AUTHORIZATION_GB_S * gb_s)
    secrets_read = AUTHORIZATIONS * SECRETS_PER_AUTHORIZATION * usd["secrets_manager.request"]
    reads, writes = usd["dynamodb.read"], usd["dynamodb.write"]
    log_kb = usd["cloudwatch.log_gb"] / KB_PER_GB
    watched, dashboards = _watched()
    return [
        Part("requests: Lambda while they stream", 0, COMPLETIONS_GB * STREAM_S * gb_s + invocation),
        Part("requests: API Gateway", 0, usd["api_gateway.request"]),
        Part("requests: data to the internet", 0, ANSWER_KB / KB_PER_GB * usd["data_transfer.out_gb"]),
        Part("heartbeat: workflow", _workflow(usd, express=express)),
        Part("heartbeat: Lambda, and in use the authorizer's", beats, in_use=authorizations),
        Part(
            "CloudWatch: metrics", METRICS * usd["cloudwatch.metric"], in_use=METRICS_IN_USE * usd["cloudwatch.metric"]
        ),
        Part(
            "CloudWatch: alarms, dashboard",
            watched * usd["cloudwatch.alarm"] + dashboards * usd["cloudwatch.dashboard"],
        ),
        Part("CloudWatch: logs", BEATS * BEAT_LOG_KB * log_kb, LOG_KB * log_kb),
        Part("DynamoDB", BEATS * (WRITES_PER_BEAT * writes + READS_PER_BEAT * reads), READS_PER_REQUEST * reads),
        Part(
            "KMS and Secrets Manager",
            usd["kms.key"] + DECRYPTIONS * usd["kms.request"] + 2 * usd["secrets_manager.secret"],
            DECRYPTIONS_PER_REQUEST * usd["kms.request"],
            in_use=secrets_read,
        ),
    ]


def _workflow(usd: Mapping[str, float], *, express: bool) -> float:
    if not express:
        return MINUTES * TRANSITIONS * usd["step_functions.standard_transition"]
    one = usd["step_functions.express_request"] + WORKFLOW_S * WORKFLOW_GB * usd["step_functions.express_gb_second"]
    return MINUTES * one


def _watched() -> tuple[int, int]:
    """Alarms and dashboards that the template always has."""
    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values()
    kinds = [resource["Type"] for resource in resources if resource.get("Condition") != "DeploysGradually"]
    return kinds.count("AWS::CloudWatch::Alarm"), kinds.count("AWS::CloudWatch::Dashboard")


def cost_table() -> str:
    """Dollars a month by part and load."""
    express, standard = parts(prices()), parts(prices(), express=False)
    rows = [f"| Dollars a month, with this many requests | {' | '.join(LOADS)} |", "|---|" + "---:|" * len(LOADS)]
    rows += [_row(part.name, [part.at(requests) for requests in LOADS.values()]) for part in express]
    rows += [
        _row("**together**", [_total(express, requests) for requests in LOADS.values()]),
        _row("together, with a Standard workflow", [_total(standard, requests) for requests in LOADS.values()]),
        _row("for 1,000 requests", [None, *(_total(express, n) / n * 1000 for n in LOADS.values() if n)]),
    ]
    return "\n".join(rows)


def largest_table() -> str:
    """From how many requests a month on which part is the largest."""
    rows = ["| From this many requests a month | the largest part is |", "|---:|---|"]
    return "\n".join(rows + [f"| {requests:,.0f} | {part.name} |" for requests, part in largest(parts(prices()))])


def largest(bill: list[Part]) -> list[tuple[float, Part]]:
    """The upper envelope of the parts' lines: where one becomes the largest, and which."""
    crossings = {
        (one.fixed + one.in_use - other.fixed - other.in_use) / (other.per_request - one.per_request)
        for one in bill
        for other in bill
        if one.per_request != other.per_request
    }
    points = [0.0, 1.0, *sorted(at for at in crossings if at > 1)]
    first = [(at, max(bill, key=lambda part: (part.at(at), part.per_request))) for at in points]
    return [first[0], *(now for before, now in pairwise(first) if now[1] != before[1])]


def of_providers(usd: Mapping[str, float], count: int) -> dict[str, float]:
    """What so many providers cost a month without any request, by what grows with them."""
    more = count - 1
    one = {part.name: part.fixed for part in parts(usd)}
    a_beat = {
        "CloudWatch: logs": MORE_LOG_KB * usd["cloudwatch.log_gb"] / KB_PER_GB,
        "DynamoDB": WRITES_PER_BEAT * usd["dynamodb.write"] + MORE_READS * usd["dynamodb.read"],
        "heartbeat: Lambda, and in use the authorizer's": MORE_S * BEAT_GB * usd["lambda.gb_second_arm64"],
    }
    grown = {name: one[name] + more * BEATS * dollars for name, dollars in a_beat.items()}
    grown["CloudWatch: metrics"] = one["CloudWatch: metrics"] + more * METRICS_OF_A_PROVIDER * usd["cloudwatch.metric"]
    grown["KMS and Secrets Manager"] = one["KMS and Secrets Manager"] + more * DECRYPTIONS * usd["kms.request"]
    return one | grown


def provider_table() -> str:
    """Dollars a month of an idle gateway by the number of its providers: the parts that grow, and the sum."""
    bills = [of_providers(prices(), count) for count in PROVIDERS]
    counts = " | ".join(f"{count:,}" for count in PROVIDERS)
    rows = [f"| Dollars a month, idle, with this many providers | {counts} |", "|---|" + "---:|" * len(PROVIDERS)]
    rows += [
        _row(name.removesuffix(", and in use the authorizer's"), [bill[name] for bill in bills])
        for name in bills[0]
        if bills[-1][name] > bills[0][name]
    ]
    return "\n".join([*rows, _row("**together**, with what does not grow", [sum(bill.values()) for bill in bills])])


def stream_table() -> str:
    """What the length of a stream and the memory do to 1 million requests."""
    gb_s = prices()["lambda.gb_second_arm64"]
    rows = ["| Lambda for 1 million streams of | 512 MB | 1,024 MB | at once, evenly spread |", "|---|---:|---:|---:|"]
    for seconds in (5, 15, 60, 295):
        cost = 1e6 * seconds * gb_s
        at_once = 1e6 * seconds / (MINUTES * 60)
        rows.append(f"| {seconds} s | {cost / 2:,.0f} | {cost:,.0f} | {at_once:,.1f} |")
    return "\n".join(rows)


def price_table() -> str:
    """Every unit price with its source."""
    services = tomllib.loads((ROOT / "docs/prices.toml").read_text())
    rows = ["| Price | Dollars | Source |", "|---|---:|---|"]
    for service, units in services.items():
        for unit, price in units.items():
            usd = f"{price['usd']:.10f}".rstrip("0").rstrip(".")
            rows.append(f"| {service.replace('_', ' ')}: {unit.replace('_', ' ')} | {usd} | {price['source']} |")
    return "\n".join(rows)


def _row(name: str, values: list[float | None]) -> str:
    return f"| {name} | {' | '.join('' if value is None else f'{value:,.2f}' for value in values)} |"


def _total(bill: list[Part], requests: float) -> float:
    return sum(part.at(requests) for part in bill)
