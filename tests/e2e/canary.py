"""A unique key, prompt and answer, a TokenHub that echoes the key, and the places that are searched for them."""

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.scripted_server import JSON, Cut, Pieces, Request, answer, response
from tools.local import aws
from tools.local.settings import STACK

# A shorter piece of a secret is not treated as a leak.
MIN_LEAK_CHARACTERS = 12
KEY = "tokenhub_CANARY" + secrets.token_hex(29)
# No pattern of the redactor matches this key. JSON and URLs escape its middle.
SHAPELESS_KEY = f'{secrets.token_hex(16)}"/&{secrets.token_hex(16)}'
PROMPT = "prompt-canary-" + secrets.token_hex(16)
ANSWER = "answer-canary-" + secrets.token_hex(16)

PASSING = ("content-type", "cache-control", "retry-after", "x-negotiated-model", "x-alias-from", "idempotency-replay")
STATUSES = (400, 401, 403, 404, 405, 429, 500, 502, 503)


@dataclass(frozen=True)
class Place:
    """A text that the gateway wrote, and where it was found."""

    where: str
    text: str


def leaks(place: Place, *values: str) -> list[str]:
    """Names the secrets of which the text contains a piece: plain, URL-encoded, as hex or as base64."""
    return [f"{place.where} contains {secret[:14]}…" for secret in values if _contains(place.text, secret)]


def _contains(text: str, secret: str) -> bool:
    shapes = [secret, quote(secret, safe=""), secret.encode().hex(), *_base64(secret)]
    return any(piece in text for shape in shapes for piece in _pieces(shape))


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + MIN_LEAK_CHARACTERS] for start in range(len(text) - MIN_LEAK_CHARACTERS + 1))


def _base64(secret: str) -> Iterator[str]:
    """Yields the three base64 forms inside a longer text, without the ends that depend on the neighbours."""
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + secret.encode()).decode()[4:-4]


# ---- a TokenHub that repeats the received key wherever it can ----


def play(request: Request) -> Pieces:
    """Runs the scenario that the first segment of the path names: /echo, /error-502, /wrapped …"""
    scenario = request.target.split("/")[1]
    form = FORMS[SCENARIO_NAMES.index(scenario) % len(FORMS)]
    echoed = f"received {form(request.headers.get('authorization', ''))}"
    if scenario.startswith(("error-", "text-")):
        return _refusal(scenario, echoed)
    return SCENARIOS[scenario](request, echoed)


def _headers(echoed: str, **others: str) -> dict[str, str]:
    return dict.fromkeys((*PASSING, "x-provider-authorization", "set-cookie"), echoed) | {
        name.replace("_", "-"): value for name, value in others.items()
    }


def _completion(echoed: str, content: str, *, usage: bool = True) -> bytes:
    body: dict[str, Any] = {"model": echoed, "choices": [{"index": 0, "message": {"content": content}}]}
    return json.dumps(body | ({"usage": {"prompt_tokens": 1, "completion_tokens": 1}} if usage else {})).encode()


def _chunk(echoed: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": f"{ANSWER} {echoed}"}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": echoed, "choices": [choice]}).encode() + b"\n\n"


def _streams(request: Request) -> bool:
    content = request.json() if request.body else {}
    return content.get("stream") is True or content.get("request", {}).get("stream") is True


def _echo(request: Request, echoed: str) -> Pieces:
    if request.method == "GET":
        return (answer(body=json.dumps({"data": [{"id": echoed}]}).encode()),)
    if _streams(request):
        pieces = (_chunk(echoed), _chunk(echoed, "stop"), b"data: [DONE]\n\n")
        return response(pieces, headers=_headers(echoed, content_type="text/event-stream"))
    headers = _headers(echoed, content_type="application/json")
    return response((_completion(echoed, f"{ANSWER} {echoed}"),), headers=headers, framing="length")


def _cut(request: Request, echoed: str) -> Pieces:
    if _streams(request):
        return response((_chunk(echoed), _chunk(echoed)[:-9]), ending="close")
    return response((_completion(echoed, f"{ANSWER} {echoed}")[:-9],), headers=JSON, ending="close")


def _error_frame(request: Request, echoed: str) -> Pieces:
    frame = b"event: error\ndata: " + json.dumps({"error": {"message": echoed}}).encode() + b"\n\n"
    return response((_chunk(echoed), frame)) if _streams(request) else (answer(500, frame),)


def _refusal(scenario: str, echoed: str) -> Pieces:
    kind, _, status = scenario.partition("-")
    message = f"x{'y' * 470} all providers failed: {echoed}" if status == "503" else f"all providers failed: {echoed}"
    body = message if kind == "text" else json.dumps({"error": {"message": message}})
    return response((body.encode(),), int(status), _headers(echoed), framing="length")


def _wrapped(echoed: str, error: str) -> Pieces:
    """A completion whose content is an error and which reports no usage."""
    return (answer(body=_completion(echoed, error, usage=False)),)


def _redirect(_: Request, echoed: str) -> Pieces:
    location = "https://elsewhere.example/?key=" + quote(echoed)
    return response(status=307, headers={"location": location}, framing="length")


SCENARIOS: dict[str, Callable[[Request, str], Pieces]] = {
    "echo": _echo,
    "cut": _cut,
    "error_frame": _error_frame,
    "late": lambda _, echoed: (1.0, answer(502, json.dumps({"error": echoed}).encode())),
    "cut_error": lambda _, echoed: response((f"no: {echoed}"[:-9].encode(),), 500, ending="close"),
    "redirect": _redirect,
    "page": lambda _, echoed: (answer(body=f"<html>{echoed}</html>".encode(), content_type="text/html"),),
    "wrapped": lambda _, echoed: _wrapped(echoed, json.dumps({"error": {"message": echoed}})),
    "wrapped_page": lambda _, echoed: _wrapped(echoed, f"<html>{echoed}</html>"),
    "no_choices": lambda _, echoed: (answer(body=json.dumps({"echo": echoed}).encode()),),
    "no_http": lambda _, echoed: (echoed.encode() + b"\r\n\r\n", Cut.CLOSE),
    "odd_head": lambda _, echoed: (b"HTTP/1.1 200 " + echoed.encode() + b"\r\n" + echoed.encode(), Cut.CLOSE),
}
SCENARIO_NAMES = (*SCENARIOS, *(f"{kind}-{status}" for kind in ("error", "text") for status in STATUSES))


def _bare(authorization: str) -> str:
    """Returns the key without "Bearer", which every redactor recognises."""
    return authorization.removeprefix("Bearer ")


FORMS: tuple[Callable[[str], str], ...] = (
    _bare,
    str,
    lambda authorization: json.dumps(_bare(authorization))[1:-1],
    lambda authorization: quote(_bare(authorization), safe=""),
    lambda authorization: quote(_bare(authorization), safe="/"),
    # Go escapes & in JSON.
    lambda authorization: json.dumps(_bare(authorization))[1:-1].replace("&", r"\u0026"),
)


def key_of(scenario: str) -> str:
    """Returns the key to register a provider of this scenario with. Over all scenarios, both keys take every form."""
    return KEY if SCENARIO_NAMES.index(scenario) % (len(FORMS) + 1) == len(FORMS) else SHAPELESS_KEY


# ---- the places ----


def logs(url: str, state: Path) -> Iterator[Place]:
    """Yields every log event and every log file of the local system."""
    client = aws.client("logs", url)
    for group in client.describe_log_groups()["logGroups"]:
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            for event in page["events"]:
                yield Place(f"the log {group['logGroupName']}", event["message"])
    for file in (state / "logs").rglob("*"):
        if file.is_file():
            yield Place(f"the file {file.name}", file.read_text(errors="replace"))


def items(url: str) -> Iterator[Place]:
    """Yields every item of every table, with ciphertexts as bytes and as base64."""
    client = aws.client("dynamodb", url)
    for table in client.list_tables()["TableNames"]:
        for page in client.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                yield Place(f"an item of {table}", json.dumps(item, default=_bytes))


def _bytes(value: bytes) -> str:
    return value.decode("latin-1") + " " + base64.b64encode(value).decode()


def executions(url: str) -> Iterator[Place]:
    """Yields the inputs, outputs and histories of the workflow's executions."""
    client = aws.client("stepfunctions", url)
    for machine in client.list_state_machines()["stateMachines"]:
        for execution in client.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
            arn = execution["executionArn"]
            content = {"execution": client.describe_execution(executionArn=arn)}
            content["history"] = client.get_execution_history(executionArn=arn)["events"]
            yield Place("an execution of the workflow", json.dumps(content, default=str))


def metrics(url: str) -> Iterator[Place]:
    """Yields the names and dimensions of all metrics."""
    client = aws.client("cloudwatch", url)
    for page in client.get_paginator("list_metrics").paginate():
        yield Place("the metrics", json.dumps(page["Metrics"]))


def stack(url: str) -> Iterator[Place]:
    """Yields the stack's outputs and its functions' settings."""
    formation = aws.client("cloudformation", url)
    yield Place("the stack", json.dumps(formation.describe_stacks(StackName=STACK)["Stacks"], default=str))
    yield Place("the functions", json.dumps(aws.client("lambda", url).list_functions()["Functions"], default=str))


class Events:
    """Collects every event of the gateway with a separate rule and queue."""

    def __init__(self, url: str) -> None:
        self._sqs, events = aws.client("sqs", url), aws.client("events", url)
        self._queue = self._sqs.create_queue(QueueName="canary")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        events.put_rule(Name="canary", EventPattern=json.dumps({"source": ["tokenhub-gateway"]}))
        events.put_targets(Rule="canary", Targets=[{"Id": "queue", "Arn": attributes["QueueArn"]}])

    def all(self) -> list[Place]:
        """Returns the events since the last call."""
        places: list[Place] = []
        while messages := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                places.append(Place("an event", message["Body"]))
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return places
