"""Computes what a stranger's calls cost at the limits of the API, with and without a token."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from tools.docs.cost import ANSWER_KB, COMPLETIONS_GB, KB_PER_GB, LOG_KB, STREAM_S, prices

ROOT = Path(__file__).parents[2]
HOUR = 3600
# API Gateway's quota for an account and region, and Lambda's default quota of concurrent executions.
ACCOUNT_RATE = 10_000
CONCURRENCY = 1_000
RESERVED = 100
# A warm call without I/O takes some milliseconds at 512 MB. Its log has one line of the function and two of Lambda.
CALL_GB_S = 0.005
CALL_LOG_KB = 1.5
# A request that TokenHub rejects, such as one for an unknown model.
SHORT_S = 0.1
SHORT_ANSWER_KB = 1

# What the stranger has, what limits the calls, and dollars a second.
Row = tuple[str, str, float]


def stranger_table() -> str:
    """A table of the dollars an hour, without TokenHub and its models, by the stranger's token and the limit."""
    template = yaml_parse((ROOT / "template.yaml").read_text())
    rows = [*_rows_without_token(template, prices()), *_rows_with_token(template, prices())]
    lines = ["| The stranger has | Bound | Dollars an hour | Dollars a day |", "|---|---|---:|---:|"]
    lines += [f"| {who} | {bound} | {cost * HOUR:,.2f} | {cost * HOUR * 24:,.0f} |" for who, bound, cost in rows]
    return "\n".join(lines)


def _rows_without_token(template: Mapping[str, Any], usd: Mapping[str, float]) -> Iterator[Row]:
    rate = template["Parameters"]["ThrottleRate"]["Default"]
    refused_rate = total_rate(template, [call for call in _calls(template) if not _is_open(call)])
    open_rate = total_rate(template, [call for call in _calls(template) if _is_open(call)])
    yield "a wrong token, one method", f"{rate} a second (`ThrottleRate`)", rate * _rejected_cost(usd)
    yield "a wrong token, all methods", _bound(refused_rate), refused_rate * _rejected_cost(usd)
    yield "no token, `/health`", f"{rate} a second (`ThrottleRate`)", rate * _open_cost(usd)
    yield "no token, all routes that need none", _bound(open_rate), open_rate * _open_cost(usd)


def _rows_with_token(template: Mapping[str, Any], usd: Mapping[str, float]) -> Iterator[Row]:
    streams, calls = "the client token, streams", "the client token, short calls of all methods"
    second = _request_cost(usd, STREAM_S, ANSWER_KB) / STREAM_S
    yield streams, f"{CONCURRENCY:,} streams at once (account)", CONCURRENCY * second
    yield streams, f"`CompletionsConcurrency={RESERVED}`", RESERVED * second
    forwarded = template["Resources"]["CompletionsFunction"]["Properties"]["Events"].values()
    rate = total_rate(template, [event["Properties"] for event in forwarded])
    short = _request_cost(usd, SHORT_S, SHORT_ANSWER_KB)
    yield calls, _bound(rate), min(rate, CONCURRENCY / SHORT_S) * short
    yield calls, f"`CompletionsConcurrency={RESERVED}`", min(rate, RESERVED / SHORT_S) * short


def total_rate(template: Mapping[str, Any], calls: list[dict[str, Any]]) -> int:
    """The requests a second that the stage allows for these methods together."""
    settings = template["Resources"]["Api"]["Properties"]["MethodSettings"][1:]
    method_rates = {(each["ResourcePath"], each["HttpMethod"]): each["ThrottlingRateLimit"] for each in settings}
    rate = template["Parameters"]["ThrottleRate"]["Default"]
    rates: list[int] = [method_rates.get((_setting_path(call["Path"]), call["Method"]), rate) for call in calls]
    return min(ACCOUNT_RATE, sum(rates))


def _bound(rate: int) -> str:
    return f"{rate:,} a second ({'all throttles' if rate < ACCOUNT_RATE else 'account'})"


def _calls(template: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The methods of the API, each with its path and its authorizer."""
    events = [
        event
        for resource in template["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
    ]
    return [event["Properties"] for event in events if event["Type"] == "Api"]


def _is_open(call: Mapping[str, Any]) -> bool:
    return bool(call.get("Auth", {}).get("Authorizer") == "NONE")


def _setting_path(path: str) -> str:
    return "/" + path.replace("/", "~1")


def _call_cost(usd: Mapping[str, float]) -> float:
    log = CALL_LOG_KB / KB_PER_GB * usd["cloudwatch.log_gb"]
    return usd["lambda.request"] + CALL_GB_S * usd["lambda.gb_second_arm64"] + log


def _rejected_cost(usd: Mapping[str, float]) -> float:
    """A call with a wrong token runs the authorizer. API Gateway bills no call that the authorizer rejects."""
    return _call_cost(usd)


def _open_cost(usd: Mapping[str, float]) -> float:
    return usd["api_gateway.request"] + _call_cost(usd)


def _request_cost(usd: Mapping[str, float], seconds: float, answer_kb: float) -> float:
    """A request that completions forwards."""
    return (
        usd["api_gateway.request"]
        + usd["lambda.request"]
        + COMPLETIONS_GB * seconds * usd["lambda.gb_second_arm64"]
        + answer_kb / KB_PER_GB * usd["data_transfer.out_gb"]
        + LOG_KB / KB_PER_GB * usd["cloudwatch.log_gb"]
    )
