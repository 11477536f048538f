"""Checks of the provider API with temporary providers and with the provider under test.

Each check reads a provider again after a change: the response to the change may differ from what was stored.
"""

import secrets
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin

from tools.smoke.check import Check, Target, require
from tools.smoke.contract import describe, require_error
from tools.smoke.registration import (
    PROVIDERS,
    registered,
    temporary_id,
    temporary_provider,
    temporary_provider_body,
    tested_provider,
)
from tools.smoke.wire import Gateway, Response

OPENAPI_PATH = "/api/v1/openapi.json"
ROUTES = {
    *(f"{method} {PROVIDERS}" for method in ("GET", "POST")),
    *(f"{method} {PROVIDERS}/{{id}}" for method in ("GET", "PUT", "PATCH", "DELETE")),
    *(f"GET {PROVIDERS}/{{id}}/{name}" for name in ("heartbeats", "uptime", "incidents", "models")),
    f"POST {PROVIDERS}/{{id}}/heartbeat",
    f"GET {OPENAPI_PATH}",
    *(f"POST /v1/{name}" for name in ("chat/completions", "messages", "embeddings", "chat", "plan")),
    "GET /v1/models",
    "GET /health",
    "GET /status",
    "GET /status/data",
}
HISTORY_FIELDS = {"items", "next", "uptime_24h", "beats_24h", "good_24h"}
HALF_HOUR_S = 30 * 60
PERIODS = ("last_24h", "last_7d", "last_30d", "last_90d")


def require_provider(response: Response, status: int = 200) -> dict[str, Any]:
    """Returns the provider in a response. Raises Failed for another status and for a key in the response."""
    provider = response.json()
    require(response.status == status and isinstance(provider, dict) and "id" in provider, describe(response))
    require(not {"api_key", "key_ciphertext"} & provider.keys(), "the response contains a key")
    return dict(provider)


def etag(response: Response) -> str:
    """Returns the response's ETag. Raises Failed when it is missing or not quoted."""
    value = response.headers.get("etag", "")
    require(
        value.startswith('"') and value.endswith('"') and len(value) > 2, f"{describe(response)[:20]}, ETag {value!r}"
    )
    return value


def create(target: Target) -> str:
    gateway = target.gateway
    with temporary_provider(gateway) as provider:
        require_provider(provider.created, 201)
        location = provider.created.headers.get("location", "")
        address = urljoin(f"{gateway.url}{PROVIDERS}", location)
        require(address.startswith(f"{gateway.url}/"), f"Location {location!r} resolves to {address}")
        read = require_provider(gateway.request("GET", address.removeprefix(gateway.url)))
        return require(read["id"] == provider.body["id"], f"201, Location {location} returns {read['id']}")


def create_again(target: Target) -> str:
    with temporary_provider(target.gateway) as provider:
        response = target.gateway.request("POST", PROVIDERS, provider.body)
        require_provider(response)
        is_same = etag(response) == etag(provider.created)
        return require(is_same, f"200, the ETag is {'unchanged' if is_same else 'different'}")


def get(target: Target) -> str:
    with temporary_provider(target.gateway) as provider:
        response = target.gateway.request("GET", provider.path)
        read, cache_control = require_provider(response), response.headers.get("cache-control")
        is_same = read["id"] == provider.body["id"] and etag(response) == etag(provider.created)
        actual = f"{read['id']}, ETag {etag(response)}, Cache-Control {cache_control}"
        return require(is_same and cache_control == "no-store", actual)


def get_missing(target: Target) -> str:
    return require_error(target.gateway.request("GET", f"{PROVIDERS}/{temporary_id()}"), 404, "provider_not_found")


def patch(target: Target) -> str:
    send = target.gateway.request
    with temporary_provider(target.gateway, name="smoke test", description="before") as provider:
        before = require_provider(send("GET", provider.path))
        require_provider(send("PATCH", provider.path, {"description": "after"}))
        after = require_provider(send("GET", provider.path))
        changed = {name for name in before | after if before.get(name) != after.get(name)} - {"updated_at"}
        is_right = changed == {"description"} and after["description"] == "after"
        return require(is_right, f"changed: {', '.join(sorted(changed)) or 'nothing'}")


def patch_with_stale_etag(target: Target) -> str:
    """Uses an ETag that was current before: a gateway that rejects every If-Match would pass with an unknown one."""
    send = target.gateway.request
    with temporary_provider(target.gateway) as provider:
        stale = etag(provider.created)
        first = send("PATCH", provider.path, {"description": "first"}, If_Match=stale)
        require(first.status == 200, f"with the current ETag: {describe(first)}")
        rejection = require_error(
            send("PATCH", provider.path, {"description": "second"}, If_Match=stale), 412, "precondition_failed"
        )
        description = require_provider(send("GET", provider.path))["description"]
        return require(description == "first", f"{rejection}, the description is {description!r}")


def put(target: Target) -> str:
    send = target.gateway.request
    with temporary_provider(target.gateway, name="before", description="before") as provider:
        require_provider(send("PUT", provider.path, {"endpoint": provider.body["endpoint"], "name": "after"}))
        read = require_provider(send("GET", provider.path))
        values = (read["name"], read["description"], read["heartbeat"]["enabled"])
        actual = "name {!r}, description {!r}, heartbeats enabled: {}".format(*values)
        return require(values == ("after", "", False), actual)


def provider_key(target: Target) -> str:
    """Stores a random key. No request ever reaches this provider."""
    send, secret, has_key = target.gateway.request, secrets.token_urlsafe(24), []
    with temporary_provider(target.gateway) as provider:
        for change in ({"api_key": secret}, {}, {"api_key": ""}):
            body = {"endpoint": provider.body["endpoint"]} | change
            written, read = send("PUT", provider.path, body), send("GET", provider.path)
            require(secret.encode() not in written.body + read.body, "a response contains the key")
            require_provider(written)
            has_key.append(require_provider(read)["requires_key"])
        return require(has_key == [True, True, False], f"requires_key: {has_key}")


def invalid_registration(target: Target) -> str:
    rejections = []
    for endpoint, code in (({}, "invalid_request"), ({"endpoint": "nowhere"}, "invalid_endpoint")):
        with registered(target.gateway, {"id": temporary_id(), **endpoint}) as response:
            rejections.append(require_error(response, 400, code))
    return ", ".join(rejections)


def unknown_field(target: Target) -> str:
    with registered(target.gateway, temporary_provider_body(target.gateway) | {"colour": "blue"}) as response:
        rejection, param = require_error(response, 400, "invalid_request"), response.json()["error"]["param"]
        return require(param == "colour", f"{rejection}, param {param}")


def delete(target: Target) -> str:
    """Also checks that PUT, which only replaces providers, does not create the deleted one."""
    send = target.gateway.request
    with temporary_provider(target.gateway) as provider:
        response = send("DELETE", provider.path)
        require((response.status, response.body, response.complete) == (204, b"", True), describe(response))
        put_response = send("PUT", provider.path, {"endpoint": provider.body["endpoint"]})
        require(put_response.status == 404, f"204, then PUT creates it again: {describe(put_response)}")
        return f"204, then {require_error(send('GET', provider.path), 404, 'provider_not_found')}"


def heartbeat_now(target: Target) -> str:
    """Requests a heartbeat. A failed heartbeat is a valid result."""
    provider = tested_provider(target.gateway)["id"]
    response = target.gateway.request("POST", f"{PROVIDERS}/{provider}/heartbeat")
    result = response.json()
    require(response.status == 200 and isinstance(result, dict) and "status" in result, describe(response))
    error, is_healthy = result["error"], result["status"] == "healthy"
    is_consistent = error is None if is_healthy else result["status"] == "failed" and error
    actual = f"{result['status']} after {result['latency_ms']} ms{f': {error}' if error else ''}"
    return require(result["id"] == provider and result["at"] and is_consistent, actual)


def read_history(gateway: Gateway, query: str) -> dict[str, Any]:
    """Returns the heartbeat history of the provider under test. Raises Failed if uptime and counts do not match."""
    response = gateway.request("GET", f"{PROVIDERS}/{tested_provider(gateway)['id']}/heartbeats?{query}")
    page = response.json()
    require(response.status == 200 and isinstance(page, dict) and page.keys() >= HISTORY_FIELDS, describe(response))
    total, good, uptime = page["beats_24h"], page["good_24h"], page["uptime_24h"]
    matches = abs(uptime - good / total) < 0.001 if total and uptime is not None else total == 0 and uptime is None
    require(matches, f"{good} good of {total} heartbeats, uptime {uptime}")
    return dict(page)


def history(target: Target) -> str:
    """The check before this one requested a heartbeat, so the history has at least one."""
    page = read_history(target.gateway, "limit=1")
    beats, total = page["items"], page["beats_24h"]
    actual = f"{len(beats)} of {total} heartbeats, uptime {page['uptime_24h']}"
    require(len(beats) == 1 and beats[0]["status"] in ("healthy", "failed"), actual)
    require(total == 1 if page["next"] is None else total >= 1, f"{actual}, next {page['next']}")
    return actual


def history_next_page(target: Target) -> str:
    newest = read_history(target.gateway, "limit=1")
    if newest["next"] is None:
        return require(newest["beats_24h"] == 1, f"no next page after 1 of {newest['beats_24h']} heartbeats")
    older = read_history(target.gateway, f"limit=1&before={quote(newest['next'])}")["items"]
    times = [beat["at"] for beat in newest["items"] + older]
    return require(len(times) == 2 and times[0] > times[1], " then ".join(times))


def history_over_the_limit(target: Target) -> str:
    path = f"{PROVIDERS}/{tested_provider(target.gateway)['id']}/heartbeats"
    return require_error(target.gateway.request("GET", f"{path}?limit=501"), 400, "invalid_request")


def history_in_buckets(target: Target) -> str:
    """A page of buckets covers more than 24 hours, so it contains all heartbeats that the uptime counts."""
    page = read_history(target.gateway, "bucket=30m")
    starts = [datetime.fromisoformat(bucket["from"]).timestamp() for bucket in page["items"]]
    beats = sum(bucket["beats"] for bucket in page["items"])
    is_complete = beats >= page["beats_24h"] and beats >= 1
    is_aligned = all(start % HALF_HOUR_S == 0 for start in starts)
    return require(is_complete and is_aligned, f"heartbeats: {beats}, buckets: {len(starts)}")


def uptime(target: Target) -> str:
    """The periods grow, and the half hours and days add up to two of them."""
    response = target.gateway.request("GET", f"{PROVIDERS}/{tested_provider(target.gateway)['id']}/uptime")
    body = response.json()
    fields = {*PERIODS, "half_hours", "days", "rolled_up_until"}
    require(response.status == 200 and isinstance(body, dict) and body.keys() >= fields, describe(response))
    counts = [body[period]["beats"] for period in PERIODS]
    sums = [sum(part["beats"] for part in body[name]) for name in ("half_hours", "days")]
    adds_up = sums == [counts[0], counts[-1]] and counts[1:] == sorted(counts[1:])
    is_complete = (len(body["half_hours"]), len(body["days"])) == (48, 90)
    actual = f"{', '.join(map(str, counts))} heartbeats in 24 hours, 7, 30 and 90 days"
    return require(adds_up and is_complete, actual)


def incidents(target: Target) -> str:
    response = target.gateway.request("GET", f"{PROVIDERS}/{tested_provider(target.gateway)['id']}/incidents?limit=2")
    body = response.json()
    items = body.get("items") if isinstance(body, dict) else None
    require(response.status == 200 and isinstance(items, list), describe(response))
    begins = [item["begin"] for item in items or ()]
    is_ordered = begins == sorted(begins, reverse=True) and all(item["cause"] for item in items or ())
    return require(is_ordered and len(begins) <= 2, f"{len(begins)} incidents")


def models(target: Target) -> str:
    response = target.gateway.request("GET", f"{PROVIDERS}/{tested_provider(target.gateway)['id']}/models")
    body = response.json()
    listed = body.get("models") if isinstance(body, dict) else None
    require(response.status == 200 and isinstance(listed, list), describe(response))
    return require(listed or not target.is_rehearsal, f"{len(listed or ())} models")


def openapi_document(target: Target) -> str:
    gateway = target.gateway
    response = gateway.request("GET", OPENAPI_PATH)
    document = response.json()
    require(response.status == 200 and isinstance(document, dict) and "openapi" in document, describe(response)[:60])
    documented = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    base = urljoin(f"{gateway.url}{OPENAPI_PATH}", document["servers"][0]["url"]).rstrip("/")
    missing = ", ".join(sorted(ROUTES - documented))
    actual = f"OpenAPI {document['openapi']} of {base}, {f'without {missing}' if missing else 'with all routes'}"
    is_right = document["openapi"].startswith("3.1.") and not missing and base == gateway.url
    return require(is_right, actual)


CHECKS = [
    Check("create provider", "201 with a Location that returns it", create),
    Check("repeated registration", "200, nothing changed", create_again),
    Check("get provider", "200 with its ETag, no-store", get),
    Check("missing provider", "404 provider_not_found", get_missing),
    Check("PATCH", "changes only the sent field", patch),
    Check("PATCH with a stale ETag", "412 precondition_failed, nothing changed", patch_with_stale_etag),
    Check("PUT", "resets omitted fields, keeps heartbeat", put),
    Check("provider key", "stored, kept, then removed; in no response", provider_key),
    Check("invalid registration", "400 in the standard format", invalid_registration),
    Check("registration with an unknown field", "400 invalid_request that names the field", unknown_field),
    Check("DELETE", "204 without a body, a complete response; then 404", delete),
    Check("heartbeat on request", "its result", heartbeat_now),
    Check("heartbeat history", "the requested number of heartbeats, with the uptime", history),
    Check("heartbeat history, next page", "older heartbeats than on the first page", history_next_page),
    Check("heartbeat history over the limit", "400 invalid_request", history_over_the_limit),
    Check("heartbeat history in buckets", "all heartbeats of the uptime, in half hours", history_in_buckets),
    Check("uptime", "four periods, 48 half hours and 90 days that add up", uptime),
    Check("incidents", "200 with a list, newest first", incidents),
    Check("provider models", "200 with a list", models),
    Check("OpenAPI document", "3.1 with all routes and this server", openapi_document),
]
