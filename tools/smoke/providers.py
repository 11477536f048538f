"""The provider API: what it does with a provider that is made for one check, and what it tells of the one under test.

What is read after a change is read anew: the answer to a change may say more than was written.
"""

import secrets
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin

from tools.smoke.check import Against, Check, require
from tools.smoke.contract import refused, told
from tools.smoke.registration import PROVIDERS, registered, throw_away, throw_away_body, throw_away_id, under_test
from tools.smoke.wire import Gateway, Reply

DOCUMENT = "/api/v1/openapi.json"
ROUTES = {
    *(f"{method} {PROVIDERS}" for method in ("GET", "POST")),
    *(f"{method} {PROVIDERS}/{{id}}" for method in ("GET", "PUT", "PATCH", "DELETE")),
    *(f"GET {PROVIDERS}/{{id}}/{what}" for what in ("heartbeats", "models")),
    f"POST {PROVIDERS}/{{id}}/heartbeat",
    f"GET {DOCUMENT}",
    *(f"POST /v1/{what}" for what in ("chat/completions", "messages", "embeddings", "chat", "plan")),
    "GET /v1/models",
    "GET /health",
}
HISTORY = {"items", "next", "uptime_24h", "beats_24h", "good_24h"}
HALF_HOUR_S = 30 * 60


def shown(reply: Reply, status: int = 200) -> dict[str, Any]:
    """The provider that an answer shows. A key is in none."""
    found = reply.json()
    require(reply.status == status and isinstance(found, dict) and "id" in found, told(reply))
    require(not {"api_key", "key_ciphertext"} & found.keys(), "a key in the answer")
    return dict(found)


def tag(reply: Reply) -> str:
    found = reply.headers.get("etag", "")
    require(found.startswith('"') and found.endswith('"') and len(found) > 2, f"{told(reply)[:20]}, ETag {found!r}")
    return found


def new(against: Against) -> str:
    gateway = against.gateway
    with throw_away(gateway) as provider:
        shown(provider.made, 201)
        location = provider.made.headers.get("location", "")
        address = urljoin(f"{gateway.url}{PROVIDERS}", location)
        require(address.startswith(f"{gateway.url}/"), f"Location {location!r} leads to {address}")
        found = shown(gateway.ask("GET", address.removeprefix(gateway.url)))
        return require(found["id"] == provider.body["id"], f"201, and {location} leads to {found['id']}")


def again(against: Against) -> str:
    with throw_away(against.gateway) as provider:
        reply = against.gateway.ask("POST", PROVIDERS, provider.body)
        shown(reply)
        is_same = tag(reply) == tag(provider.made)
        return require(is_same, f"200, its ETag {'as before' if is_same else 'another one'}")


def one(against: Against) -> str:
    with throw_away(against.gateway) as provider:
        reply = against.gateway.ask("GET", provider.path)
        found, kept = shown(reply), reply.headers.get("cache-control")
        is_it = found["id"] == provider.body["id"] and tag(reply) == tag(provider.made)
        return require(is_it and kept == "no-store", f"{found['id']}, ETag {tag(reply)}, Cache-Control {kept}")


def unknown(against: Against) -> str:
    return refused(against.gateway.ask("GET", f"{PROVIDERS}/{throw_away_id()}"), 404, "provider_not_found")


def patched(against: Against) -> str:
    ask = against.gateway.ask
    with throw_away(against.gateway, name="smoke test", description="before") as provider:
        before = shown(ask("GET", provider.path))
        shown(ask("PATCH", provider.path, {"description": "after"}))
        after = shown(ask("GET", provider.path))
        changed = {name for name in before | after if before.get(name) != after.get(name)} - {"updated_at"}
        is_right = changed == {"description"} and after["description"] == "after"
        return require(is_right, f"changed: {', '.join(sorted(changed)) or 'nothing'}")


def stale_tag(against: Against) -> str:
    """A tag that was right once: one that never was would be refused by a gateway that refuses all."""
    ask = against.gateway.ask
    with throw_away(against.gateway) as provider:
        seen = tag(provider.made)
        first = ask("PATCH", provider.path, {"description": "first"}, If_Match=seen)
        require(first.status == 200, f"with the ETag of what is there: {told(first)}")
        refusal = refused(
            ask("PATCH", provider.path, {"description": "second"}, If_Match=seen), 412, "precondition_failed"
        )
        now = shown(ask("GET", provider.path))["description"]
        return require(now == "first", f"{refusal}, and the description is that of the {now} change")


def replaced(against: Against) -> str:
    ask = against.gateway.ask
    with throw_away(against.gateway, name="before", description="before") as provider:
        shown(ask("PUT", provider.path, {"endpoint": provider.body["endpoint"], "name": "after"}))
        found = shown(ask("GET", provider.path))
        seen = (found["name"], found["description"], found["heartbeat"]["enabled"])
        words = "name {!r}, description {!r}, heartbeats enabled: {}".format(*seen)
        return require(seen == ("after", "", False), words)


def key(against: Against) -> str:
    """One that is made up, and sent to no one: nothing calls this provider."""
    ask, secret, has_key = against.gateway.ask, secrets.token_urlsafe(24), []
    with throw_away(against.gateway) as provider:
        for change in ({"api_key": secret}, {}, {"api_key": ""}):
            body = {"endpoint": provider.body["endpoint"]} | change
            done, read = ask("PUT", provider.path, body), ask("GET", provider.path)
            require(secret.encode() not in done.body + read.body, "the key in an answer")
            shown(done)
            has_key.append(shown(read)["requires_key"])
        return require(has_key == [True, True, False], f"requires_key: {has_key}")


def bad_registration(against: Against) -> str:
    seen = []
    for endpoint, code in (({}, "invalid_request"), ({"endpoint": "nowhere"}, "invalid_endpoint")):
        with registered(against.gateway, {"id": throw_away_id(), **endpoint}) as reply:
            seen.append(refused(reply, 400, code))
    return ", ".join(seen)


def unknown_field(against: Against) -> str:
    with registered(against.gateway, throw_away_body(against.gateway) | {"colour": "blue"}) as reply:
        refusal, param = refused(reply, 400, "invalid_request"), reply.json()["error"]["param"]
        return require(param == "colour", f"{refusal}, param {param}")


def deleted(against: Against) -> str:
    """And PUT, which replaces what is there, does not make it anew."""
    ask = against.gateway.ask
    with throw_away(against.gateway) as provider:
        reply = ask("DELETE", provider.path)
        require((reply.status, reply.body, reply.clean) == (204, b"", True), told(reply))
        back = ask("PUT", provider.path, {"endpoint": provider.body["endpoint"]})
        require(back.status == 404, f"204, and then PUT makes it anew: {told(back)}")
        return f"204, then {refused(ask('GET', provider.path), 404, 'provider_not_found')}"


def beat_now(against: Against) -> str:
    """One that found the provider failed is an outcome, too."""
    provider = under_test(against.gateway)["id"]
    reply = against.gateway.ask("POST", f"{PROVIDERS}/{provider}/heartbeat")
    found = reply.json()
    require(reply.status == 200 and isinstance(found, dict) and "status" in found, told(reply))
    error, is_good = found["error"], found["status"] == "healthy"
    is_told = error is None if is_good else found["status"] == "failed" and error
    seen = f"{found['status']} after {found['latency_ms']} ms{f': {error}' if error else ''}"
    return require(found["id"] == provider and found["at"] and is_told, seen)


def past(gateway: Gateway, query: str) -> dict[str, Any]:
    """What the history of the provider under test answers, with an uptime that fits its counts."""
    reply = gateway.ask("GET", f"{PROVIDERS}/{under_test(gateway)['id']}/heartbeats?{query}")
    found = reply.json()
    require(reply.status == 200 and isinstance(found, dict) and found.keys() >= HISTORY, told(reply))
    beats, good, uptime = found["beats_24h"], found["good_24h"], found["uptime_24h"]
    fits = abs(uptime - good / beats) < 0.001 if beats and uptime is not None else beats == 0 and uptime is None
    require(fits, f"{good} good of {beats} beats, uptime {uptime}")
    return dict(found)


def history(against: Against) -> str:
    """There is a beat at least: one was asked for just before."""
    page = past(against.gateway, "limit=1")
    beats, total = page["items"], page["beats_24h"]
    seen = f"{len(beats)} of {total} beats, uptime {page['uptime_24h']}"
    require(len(beats) == 1 and beats[0]["status"] in ("healthy", "failed"), seen)
    require(total == 1 if page["next"] is None else total >= 1, f"{seen}, next {page['next']}")
    return seen


def older_history(against: Against) -> str:
    newest = past(against.gateway, "limit=1")
    if newest["next"] is None:
        return require(newest["beats_24h"] == 1, f"nothing older than the one of {newest['beats_24h']} beats")
    older = past(against.gateway, f"limit=1&before={quote(newest['next'])}")["items"]
    times = [beat["at"] for beat in newest["items"] + older]
    return require(len(times) == 2 and times[0] > times[1], " then ".join(times))


def history_beyond(against: Against) -> str:
    path = f"{PROVIDERS}/{under_test(against.gateway)['id']}/heartbeats"
    return refused(against.gateway.ask("GET", f"{path}?limit=501"), 400, "invalid_request")


def buckets(against: Against) -> str:
    """Those of a page reach back more than 24 hours, so what is counted for the uptime is in them."""
    found = past(against.gateway, "bucket=30m")
    starts = [datetime.fromisoformat(bucket["from"]).timestamp() for bucket in found["items"]]
    beats = sum(bucket["beats"] for bucket in found["items"])
    is_counted = beats >= found["beats_24h"] and beats >= 1
    on_time = all(start % HALF_HOUR_S == 0 for start in starts)
    return require(is_counted and on_time, f"beats: {beats}, buckets: {len(starts)}")


def models(against: Against) -> str:
    reply = against.gateway.ask("GET", f"{PROVIDERS}/{under_test(against.gateway)['id']}/models")
    body = reply.json()
    found = body.get("models") if isinstance(body, dict) else None
    require(reply.status == 200 and isinstance(found, list), told(reply))
    return require(found or not against.rehearsal, f"{len(found or ())} models")


def document(against: Against) -> str:
    gateway = against.gateway
    reply = gateway.ask("GET", DOCUMENT)
    found = reply.json()
    require(reply.status == 200 and isinstance(found, dict) and "openapi" in found, told(reply)[:60])
    told_routes = {f"{method.upper()} {path}" for path, item in found["paths"].items() for method in item}
    base = urljoin(f"{gateway.url}{DOCUMENT}", found["servers"][0]["url"]).rstrip("/")
    missing = ", ".join(sorted(ROUTES - told_routes))
    seen = f"OpenAPI {found['openapi']} of {base}, {f'without {missing}' if missing else 'with every route'}"
    is_right = found["openapi"].startswith("3.1.") and not missing and base == gateway.url
    return require(is_right, seen)


CHECKS = [
    Check("new provider", "201, and a Location that leads to it", new),
    Check("same registration again", "200, and nothing is changed", again),
    Check("one provider", "200 with its ETag, no-store", one),
    Check("provider that there is not", "404 provider_not_found", unknown),
    Check("PATCH", "changes the named field and no other", patched),
    Check("PATCH of what was changed meanwhile", "412 precondition_failed, and nothing is changed", stale_tag),
    Check("PUT", "what is left out takes its default, and heartbeat is kept", replaced),
    Check("key of a provider", "stored, kept, then removed; in no answer", key),
    Check("bad registration", "400 in the one shape", bad_registration),
    Check("registration with an unknown field", "400 invalid_request, which names it", unknown_field),
    Check("DELETE", "204, no byte, a clean end; then 404", deleted),
    Check("heartbeat that is asked for", "its outcome", beat_now),
    Check("history of heartbeats", "as many as asked for, with the uptime", history),
    Check("older heartbeats", "those before the first page's", older_history),
    Check("history beyond its limit", "400 invalid_request", history_beyond),
    Check("history in buckets", "all beats of the uptime, in half hours", buckets),
    Check("models of a provider", "200 with a list", models),
    Check("OpenAPI document", "3.1, with every route, served from here", document),
]
