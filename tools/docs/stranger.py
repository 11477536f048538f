"""What a stranger can cost in an hour at the throttle, with and without a token."""

from collections.abc import Mapping
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


def stranger_table() -> str:
    """Dollars an hour, without TokenHub and its models, by what the stranger has and by what bounds the calls."""
    usd, template = prices(), yaml_parse((ROOT / "template.yaml").read_text())
    rate = template["Parameters"]["ThrottleRate"]["Default"]
    open_rate = min(ACCOUNT_RATE, sum(_open_rates(template, rate)))
    rows = [
        ("a wrong token, one method", f"{rate} a second (`ThrottleRate`)", rate * _refused(usd)),
        ("a wrong token, all methods", f"{ACCOUNT_RATE:,} a second (account)", ACCOUNT_RATE * _refused(usd)),
        ("no token, `/health`", f"{rate} a second (`ThrottleRate`)", rate * _open(usd)),
        ("no token, all routes that need none", f"{open_rate:,} a second (all throttles)", open_rate * _open(usd)),
        ("the client token", f"{CONCURRENCY:,} streams at once (account)", CONCURRENCY * _stream_second(usd)),
        ("the client token", f"`CompletionsConcurrency={RESERVED}`", RESERVED * _stream_second(usd)),
    ]
    lines = ["| The stranger has | Bound | Dollars an hour | Dollars a day |", "|---|---|---:|---:|"]
    lines += [f"| {who} | {bound} | {cost * HOUR:,.2f} | {cost * HOUR * 24:,.0f} |" for who, bound, cost in rows]
    return "\n".join(lines)


def _open_rates(template: Mapping[str, Any], rate: int) -> list[int]:
    """The throttle of each method that needs no token."""
    settings = template["Resources"]["Api"]["Properties"]["MethodSettings"][1:]
    own = {(each["ResourcePath"], each["HttpMethod"]): each["ThrottlingRateLimit"] for each in settings}
    return [own.get((_setting_path(call["Path"]), call["Method"]), rate) for call in _open_calls(template)]


def _open_calls(template: Mapping[str, Any]) -> list[dict[str, Any]]:
    events = [
        event["Properties"]
        for resource in template["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
    ]
    return [event for event in events if event.get("Auth", {}).get("Authorizer") == "NONE"]


def _setting_path(path: str) -> str:
    return "/" + path.replace("/", "~1")


def _call(usd: Mapping[str, float]) -> float:
    log = CALL_LOG_KB / KB_PER_GB * usd["cloudwatch.log_gb"]
    return usd["lambda.request"] + CALL_GB_S * usd["lambda.gb_second_arm64"] + log


def _refused(usd: Mapping[str, float]) -> float:
    """A call with a wrong token runs the authorizer. API Gateway bills no call that the authorizer refuses."""
    return _call(usd)


def _open(usd: Mapping[str, float]) -> float:
    return usd["api_gateway.request"] + _call(usd)


def _stream_second(usd: Mapping[str, float]) -> float:
    """One second of one stream: Lambda, and a share of what a request costs once."""
    once = (
        usd["api_gateway.request"]
        + usd["lambda.request"]
        + ANSWER_KB / KB_PER_GB * usd["data_transfer.out_gb"]
        + LOG_KB / KB_PER_GB * usd["cloudwatch.log_gb"]
    )
    return COMPLETIONS_GB * usd["lambda.gb_second_arm64"] + once / STREAM_S
