"""One soak run: 16 clients and all faults for some minutes, then a restart, then the checks."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.e2e import canary
from tests.local_system import LocalSystem, free_ports
from tests.rehearsal import RunningTokenHub
from tests.soak.clients import Client
from tests.soak.faults import Faults
from tests.soak.usage import Usage, has_grown, measure

CLIENTS = 16
PARAMETERS = "ConnectSeconds=2 FirstByteSeconds=6 StreamIdleSeconds=4 WholeSeconds=60 KeepAliveSeconds=1"
WARM_UP_S = 10
# A client waits 90 seconds for a response.
STOP_S = 120
REQUIRED_OUTCOMES = ("stream: whole", "write: acknowledged")
# Idle processes end after a minute, and ministack looks for them every half minute.
SETTLE_S = 180


@dataclass
class Result:
    """The figures of a run, and its problems. A run without problems has passed."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    before: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    peak: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    after: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Returns the figures as text."""
        counts = [f"{count:6} {name}" for name, count in sorted(self.outcomes.items())]
        usage = [f"{name}: {getattr(self, name)}" for name in ("before", "peak", "after")]
        return [*counts, f"faults: {dict(self.faults)}", *usage, *(f"PROBLEM {text}" for text in self.problems)]


class Soak:
    """Runs with a separate state folder. `seed` selects the order of the faults."""

    def __init__(self, state: Path, minutes: float, seed: int) -> None:
        self._state = state
        self._minutes = minutes
        self._seed = seed
        self._result = Result()

    def run(self) -> Result:
        """Runs all parts and returns the result."""
        ports, environ = free_ports(3), {"TOKENHUB": "off", "PARAMETERS": PARAMETERS}
        with RunningTokenHub() as tokenhub:
            with LocalSystem(self._state, ports, environ=environ) as system:
                tokens = [system.token(role) for role in ("admin", "client")]
                faults = Faults(system, tokenhub, tokens[0], self._seed)
                clients = [Client(number, system.url, f"{tokenhub.url}/v1", tokens[0]) for number in range(CLIENTS)]
                self._load(system, clients, faults)
                self._check_saved(system, clients, "before the restart")
                self._check_leaks(system, clients, [*faults.keys, *tokens])
                if (code := system.stop()) != 0:
                    self._result.problems.append(f"the system stopped with exit code {code}")
            with LocalSystem(self._state, ports, environ=environ) as system:
                self._check_saved(system, clients, "after the restart")
        return self._result

    def _load(self, system: LocalSystem, clients: list[Client], faults: Faults) -> None:
        faults.register()
        warm = Client(CLIENTS, clients[0].url, clients[0].upstream, clients[0].token)
        # Starts one process of each function, so that the usage before the load includes the processes that remain.
        self._result.problems += run_parts({warm.provider: warm.run}, lambda: time.sleep(WARM_UP_S))
        self._result.before = measure(system)
        parts = {client.provider: client.run for client in clients} | {"the faults": faults.run}
        self._result.problems += run_parts(parts, lambda: self._watch_peak(system))
        for client in clients:
            self._result.outcomes += client.outcomes
        self._result.faults = faults.played
        self._result.problems += [problem for client in (warm, *clients) for problem in client.violations]
        self._result.problems += [*faults.problems, *faults.not_played()]
        self._result.problems += [f"no {name}" for name in REQUIRED_OUTCOMES if not self._result.outcomes[name]]
        self._check_usage(system)

    def _watch_peak(self, system: LocalSystem) -> None:
        end = time.monotonic() + self._minutes * 60
        while time.monotonic() < end:
            time.sleep(2)
            self._result.peak = _peak(self._result.peak, measure(system))

    def _check_usage(self, system: LocalSystem) -> None:
        before, requests = self._result.before, self._result.outcomes.total()
        end = time.monotonic() + SETTLE_S
        while True:
            after = self._result.after = measure(system)
            if not has_grown(before, after, requests):
                return
            if time.monotonic() > end:
                self._result.problems.append(f"the system uses more than before: {before} → {after}")
                return
            time.sleep(2)

    def _check_saved(self, system: LocalSystem, clients: list[Client], when: str) -> None:
        listed = httpx.get(f"{system.url}/api/v1/providers", timeout=90, trust_env=False).json()
        saved = {provider["id"]: int(provider["description"] or 0) for provider in listed}
        problems = [problem for client in clients for problem in client.check_saved(saved)]
        self._result.problems += [f"{problem} {when}" for problem in problems]

    def _check_leaks(self, system: LocalSystem, clients: list[Client], secrets: list[str]) -> None:
        url = system.aws_url
        places = [canary.Place("an answer", text) for client in clients for text in client.answers]
        for kind, searched in {
            "log": [*canary.logs(url, self._state)],
            "item": [*canary.items(url)],
            "execution": [*canary.executions(url)],
            "metric": [*canary.metrics(url)],
            "line of the console": [canary.Place("the console", line) for line in system.output],
        }.items():
            places += searched
            if not searched:
                self._result.problems.append(f"the search for keys has read no {kind}")
        everything = canary.Place("a place", "\n".join(place.text for place in places))
        for secret in secrets:
            # A cheap search first, because the run has thousands of texts.
            if canary.leaks(everything, secret):
                self._result.problems += [leak for place in places for leak in canary.leaks(place, secret)]


def run_parts(
    parts: Mapping[str, Callable[[threading.Event], None]], meanwhile: Callable[[], None], within_s: float = STOP_S
) -> list[str]:
    """Runs each part in a thread until `meanwhile` returns. Describes the parts that raised an error or did not stop.

    Each part gets an event. It must stop within `within_s` seconds after the event is set.
    """
    stopping, problems = threading.Event(), list[str]()

    def run(name: str) -> None:
        try:
            parts[name](stopping)
        except Exception as error:  # noqa: BLE001
            problems.append(f"{name} raised {type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=(name,), name=name, daemon=True) for name in parts]
    for thread in threads:
        thread.start()
    try:
        meanwhile()
    finally:
        stopping.set()
        end = time.monotonic() + within_s
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    return problems + [f"{thread.name} did not stop within {within_s:g} s" for thread in threads if thread.is_alive()]


def _peak(first: Usage, second: Usage) -> Usage:
    return Usage(
        max(first.processes, second.processes),
        max(first.megabytes, second.megabytes),
        max(first.sockets, second.sockets),
    )
