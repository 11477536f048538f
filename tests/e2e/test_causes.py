"""The exact error that the deployed local system records for each cause, and one event per change of health."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deaf import deaf
from tests.deployed_system import DeployedSystem
from tests.e2e.canary import Events
from tests.local_system import LocalSystem, free_ports
from tests.rehearsal import RunningTokenHub, wait_until
from tests.scripted_server import ScriptedServer, always, answer
from tests.unit.gateway import certificates

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KEY = "tokenhub_" + 64 * "0"
RECOVERED = [("pending", "healthy"), ("healthy", "failed"), ("failed", "healthy")]
BROKE = [("pending", "failed")]
FIX_PROVIDER = "Users get it too. Fix it in TokenHub or at the model's provider."

# The mode of the rehearsal TokenHub → the last_heartbeat_error of a heartbeat without a stream.
COMPLETION_ERRORS = {
    "refuse_key": (
        "HTTP 401: invalid api key. TokenHub refuses the registered key. Register "
        "the provider again with a valid api_key."
    ),
    "no_scope": (
        "HTTP 403: insufficient scope. The registered key lacks the scope chat. "
        "Add it to the key in TokenHub. TokenHub takes up to 5 minutes to notice the change. "
        "Rotating the key in TokenHub takes effect at once."
    ),
    "budget": (
        "HTTP 429: monthly budget exceeded (budget_usd 10, spent_usd 10.42). The budget of the registered key is "
        "spent. Raise it in TokenHub, or register another key. "
        "TokenHub takes up to 5 minutes to notice the change. Rotating the key in TokenHub takes effect at once."
    ),
    "no_models": (
        "HTTP 502: no eligible models registered. Each of TokenHub's models is missing, disabled or "
        "in its cooldown. See `tokenhubctl health`."
    ),
    "all_failed": (
        'HTTP 502: all providers failed for streaming: API error (status 401): {"error": {"message": "Incorrect API '
        'key provided: sk-rehear************************sal1.", "type": "invalid_request_error", "param": null, '
        '"code": "invalid_api_key"}}. Every model provider of TokenHub failed; the message has the last one\'s error. '
        "Correct it in TokenHub. After a restart of TokenHub, run `tokenhubctl vault unlock`."
    ),
    "wrapped_error": (
        "HTTP 200: The answer wraps an error of a model's provider: Incorrect API key provided: "
        f"sk-rehear************************sal1. {FIX_PROVIDER}"
    ),
    "html": (
        "HTTP 200: The answer is a web page, for example the login page of a proxy in front of TokenHub. "
        "Register TokenHub's own address, ending in /v1."
    ),
    "panic": "HTTP 500. TokenHub failed. `tokenhubctl health` shows the state of its providers.",
    "cut_close": (
        "HTTP 200: The answer ended before it was complete. "
        "See `tokenhubctl health` and the log of any proxy in front of TokenHub."
    ),
    "hang": "{url} did not answer within 20 s. The model or TokenHub hangs or is overloaded: see `tokenhubctl health`.",
}
# The mode → the last_heartbeat_error of the first heartbeat, which is a stream.
STREAM_ERRORS = {
    "cut_clean": (
        "HTTP 200: The stream ended before its end marker, so users' streams break off too. "
        "See `tokenhubctl health` and the log of any proxy in front of TokenHub."
    ),
    "wrapped_error": (
        "HTTP 200: The answer wraps an error of a model's provider: Incorrect API key provided: "
        f"sk-rehear************************sal1. {FIX_PROVIDER}"
    ),
}
# The registered key → the error of the first heartbeat.
KEY_ERRORS = {
    "tokenhub_none": COMPLETION_ERRORS["refuse_key"],
    "secret": (
        "HTTP 401: invalid api key format. A TokenHub key starts with tokenhub_. "
        "Register the provider again with such a key."
    ),
    "": (
        "HTTP 401: authorization required. TokenHub requires a key, and none is "
        "registered. Register the provider again with its api_key."
    ),
}
ENDPOINT_ERRORS = {
    "refused": "{url} refused the connection. Check that TokenHub is running and that the port is right.",
    "unknown": "The host name of {url} cannot be resolved. Check its spelling and its DNS entry.",
    "no_tls": "The TLS handshake with {url} failed. Check that the server speaks https there, and not http.",
    "unknown_certificate": (
        "The certificate of {url} is not from a trusted authority. Install one from a public authority."
    ),
    "deaf": "{url} did not accept a connection in time. Check the address and the firewalls in between.",
    "without_v1": (
        "HTTP 404: 404 page not found. The provider does not serve this path. "
        "Check that the registered endpoint ends in /v1."
    ),
    "redirects": (
        "{url} redirects (HTTP 307), and the gateway sends a key to no other address. Register the final address."
    ),
}


class MonitoredSystem:
    """A running system and its events about changes of health. Sends heartbeats only when a test calls beat()."""

    def __init__(self, system: LocalSystem) -> None:
        self._http = httpx.Client(base_url=f"{system.url}/api/v1/providers", timeout=40, trust_env=False)
        self._events = Events(system.aws_url)
        self._changes: list[dict[str, Any]] = []

    def register(self, id_: str, endpoint: str, api_key: str = KEY, **more: str) -> None:
        body = {"id": id_, "endpoint": endpoint, "api_key": api_key, "heartbeat": {"enabled": False}} | more
        self._http.post("", json=body).raise_for_status()

    def beat(self, id_: str) -> dict[str, Any]:
        """Sends one heartbeat. Returns the provider after checking that its health agrees with the result."""
        outcome = self._http.post(f"/{id_}/heartbeat").raise_for_status().json()
        provider = self._http.get(f"/{id_}").json()
        assert (outcome["status"], outcome["error"]) == (provider["status"], provider["last_heartbeat_error"])
        return dict(provider)

    def published_exactly(self, id_: str, *expected: tuple[str, str]) -> bool:
        """Whether exactly these changes of status were published, each once."""

        def changes() -> list[tuple[str, str]]:
            self._changes += [json.loads(place.text)["detail"] for place in self._events.all()]
            return [(each["old_status"], each["new_status"]) for each in self._changes if each["id"] == id_]

        assert wait_until(lambda: len(changes()) >= len(expected), 10, every=0.25)
        return changes() == list(expected)

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def monitored() -> Iterator[MonitoredSystem]:
    with DeployedSystem(environ={"TOKENHUB": "off", "AUTH": "true"}) as system:
        running = MonitoredSystem(system)
        yield running
        running.close()


@pytest.mark.parametrize("mode", COMPLETION_ERRORS)
def test_records_the_cause_of_a_failure_and_the_recovery(
    monitored: MonitoredSystem, tokenhub: RunningTokenHub, mode: str
) -> None:
    id_, url = f"completions-{mode}", f"{tokenhub.url}/v1"
    monitored.register(id_, url)
    assert monitored.beat(id_)["status"] == "healthy"

    tokenhub.rehearse(mode)
    failed = [monitored.beat(id_) for _ in range(1 if mode == "hang" else 2)]
    tokenhub.rehearse("normal")
    after = monitored.beat(id_)

    expected = COMPLETION_ERRORS[mode].replace("{url}", url)
    assert [each["last_heartbeat_error"] for each in failed] == [expected] * len(failed)
    assert failed[-1]["consecutive_failures"] == len(failed)
    assert (after["status"], after["last_heartbeat_error"], after["consecutive_failures"]) == ("healthy", None, 0)
    assert monitored.published_exactly(id_, *RECOVERED)


@pytest.mark.parametrize("mode", STREAM_ERRORS)
def test_records_the_cause_of_a_failed_stream(monitored: MonitoredSystem, tokenhub: RunningTokenHub, mode: str) -> None:
    id_ = f"streams-{mode}"
    monitored.register(id_, f"{tokenhub.url}/v1")
    tokenhub.rehearse(mode)

    # The second beat is a stream too, because the first one failed.
    failed = [monitored.beat(id_)["last_heartbeat_error"] for _ in range(2)]
    tokenhub.rehearse("normal")
    recovered = monitored.beat(id_)

    assert failed == [STREAM_ERRORS[mode]] * 2
    assert (recovered["status"], recovered["heartbeat_tokens_today"]) == ("healthy", 3 * 512)
    assert monitored.published_exactly(id_, *BROKE, ("failed", "healthy"))


@pytest.mark.parametrize("key", KEY_ERRORS)
def test_records_the_cause_of_a_rejected_key(monitored: MonitoredSystem, tokenhub: RunningTokenHub, key: str) -> None:
    id_ = f"key-{key or 'none'}"
    monitored.register(id_, f"{tokenhub.url}/v1", key)

    assert monitored.beat(id_)["last_heartbeat_error"] == KEY_ERRORS[key]
    assert monitored.published_exactly(id_, *BROKE)


REDIRECT = always(answer(307, location="/elsewhere"))


@pytest.fixture(scope="module")
def endpoints(strict_tokenhub: RunningTokenHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    path: Path = certificates.write(tmp_path_factory.mktemp("certificate") / "server.pem", address="127.0.0.1")
    tls_context = certificates.server_context(path)
    with ScriptedServer(REDIRECT) as redirects, ScriptedServer(REDIRECT, tls_context) as tls, deaf("127.0.0.1") as port:
        yield {
            "refused": f"http://127.0.0.1:{free_ports(1)[0]}/v1",
            "unknown": "http://tokenhub.invalid/v1",
            "no_tls": redirects.url.replace("http:", "https:"),
            "unknown_certificate": tls.url,
            "deaf": f"http://127.0.0.1:{port}/v1",
            "without_v1": f"{strict_tokenhub.url}/tokenhub",
            "redirects": redirects.url,
        }


@pytest.mark.parametrize("cause", ENDPOINT_ERRORS)
def test_records_the_cause_of_a_wrong_endpoint(
    monitored: MonitoredSystem, endpoints: dict[str, str], cause: str
) -> None:
    monitored.register(cause, endpoints[cause])

    assert monitored.beat(cause)["last_heartbeat_error"] == ENDPOINT_ERRORS[cause].replace("{url}", endpoints[cause])
    assert monitored.published_exactly(cause, *BROKE)


def test_records_a_substituted_model(monitored: MonitoredSystem, tokenhub: RunningTokenHub) -> None:
    monitored.register("substituted", f"{tokenhub.url}/v1")
    tokenhub.rehearse("other_model")

    assert monitored.beat("substituted")["last_heartbeat_model"] == "gpt-4o-mini"
    assert monitored.published_exactly("substituted", ("pending", "healthy"))


@pytest.mark.parametrize(("registered", "served"), [("fast", "gpt-4o-mini"), ("*", "echo")])
def test_records_the_model_behind_an_alias(
    monitored: MonitoredSystem, tokenhub: RunningTokenHub, registered: str, served: str
) -> None:
    id_ = f"alias-{len(registered)}"
    monitored.register(id_, f"{tokenhub.url}/v1", model=registered)

    # The first beat is a stream, the second is not.
    seen = [monitored.beat(id_)["last_heartbeat_model"] for _ in range(2)]

    assert seen == [served] * 2
