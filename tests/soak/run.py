"""One soak run: 16 clients and all faults for some minutes, then a restart, then the checks."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.e2e import canary
from tests.local_system import LocalSystem, free_ports
from tests.rehearsal import RunningTokenHub
from tests.soak.clients import Client
from tests.soak.faults import Faults
from tests.soak.usage import Usage, measure

CLIENTS = 16
PARAMETERS = "ConnectSeconds=2 FirstByteSeconds=6 StreamIdleSeconds=4 WholeSeconds=60 KeepAliveSeconds=1"
# Idle processes end after a minute, and ministack looks for them every half minute.
SETTLE_S = 180
MAX_MORE_PROCESSES = 2
MAX_MORE_SOCKETS = 20
# The local AWS keeps the logs of a day in its memory.
MAX_MORE_MEGABYTES_PER_MINUTE = 25


@dataclass
class Result:
    """The figures of a run, and what should not have happened."""

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
    """Runs in a state folder of its own. `seed` selects the order of the faults."""

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
        self._warm_up(clients)
        self._result.before = measure(system)
        stopping = threading.Event()
        parts = [client.run for client in clients] + [faults.run]
        threads = [threading.Thread(target=run, args=(stopping,), daemon=True) for run in parts]
        for thread in threads:
            thread.start()
        end = time.monotonic() + self._minutes * 60
        while time.monotonic() < end:
            time.sleep(2)
            self._result.peak = _peak(self._result.peak, measure(system))
        stopping.set()
        for thread in threads:
            thread.join(120)
        self._result.problems += [problem for client in clients for problem in client.violations]
        for client in clients:
            self._result.outcomes += client.outcomes
        self._result.faults = faults.played
        self._check_usage(system)

    def _warm_up(self, clients: list[Client]) -> None:
        """Starts one process of each function, so that the usage before has the processes that stay."""
        stopping = threading.Event()
        warm = Client(CLIENTS, clients[0].url, clients[0].upstream, clients[0].token)
        thread = threading.Thread(target=warm.run, args=(stopping,), daemon=True)
        thread.start()
        time.sleep(10)
        stopping.set()
        thread.join(120)

    def _check_usage(self, system: LocalSystem) -> None:
        before, limit = self._result.before, MAX_MORE_MEGABYTES_PER_MINUTE * self._minutes
        end = time.monotonic() + SETTLE_S
        while True:
            after = self._result.after = measure(system)
            more = (
                after.processes - before.processes > MAX_MORE_PROCESSES,
                after.sockets - before.sockets > MAX_MORE_SOCKETS,
                after.megabytes - before.megabytes > limit,
            )
            if not any(more):
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
        places = [
            *canary.logs(url, self._state),
            *canary.items(url),
            *canary.executions(url),
            *canary.metrics(url),
            canary.Place("the console", "\n".join(system.output)),
            *(canary.Place("an answer", text) for client in clients for text in client.answers),
        ]
        text = "\n".join(place.text for place in places)
        for secret in secrets:
            # A cheap search first: the run has thousands of places.
            if secret[12:24] in text:
                self._result.problems += [leak for place in places for leak in canary.leaks(place, secret)]


def _peak(first: Usage, second: Usage) -> Usage:
    return Usage(
        max(first.processes, second.processes),
        max(first.megabytes, second.megabytes),
        max(first.sockets, second.sockets),
    )
