"""`make bench BENCH=memory`: measures the peak memory of each function after 1, 100 and 1,000 events. Linux only."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from tools.bench import cold_trees
from tools.bench.cold import EVENTS, read_event, start
from tools.bench.cold_servers import Provider, aws_handler, runtime_handler, serving
from tools.bench.cold_trees import Tree
from tools.local.settings import REPOSITORY

COUNTS = (0, 1, 100, 1000)
TIMEOUT_S = 600


@dataclass
class Measurement:
    """The peak memory of one process in MB, measured before its first event and after each count of COUNTS."""

    event: bytes
    process: int = 0
    answers: int = 0
    peaks_mb: list[float] = field(default_factory=list)
    finished: Event = field(default_factory=Event)

    def next_event(self) -> bytes | None:
        """Returns the event until the process has answered the last count of COUNTS."""
        if self.answers in COUNTS:
            self.peaks_mb.append(peak_mb(self.process))
        if self.answers == COUNTS[-1]:
            self.finished.set()
            return None
        return self.event

    def on_answer(self) -> None:
        """Counts an answer."""
        self.answers += 1


def measure(tree: Tree, function: str, aws: str) -> list[float]:
    """Returns the peaks in MB, in the order of COUNTS."""
    measurement = Measurement(read_event(function))
    handler = runtime_handler(measurement.next_event, measurement.on_answer)
    with serving(handler) as runtime, start(tree, function, aws, runtime) as process:
        measurement.process = process.pid
        finished = measurement.finished.wait(TIMEOUT_S)
        process.kill()
    if not finished:
        raise SystemExit(f"{function} did not answer {COUNTS[-1]} events.")
    return measurement.peaks_mb


def peak_mb(process: int) -> float:
    """Returns the largest resident memory that a process has had, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    [kilobytes] = (int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return kilobytes / 1024


def main() -> None:
    """Prints a table of the peaks."""
    with tempfile.TemporaryDirectory() as name:
        tree = cold_trees.build("this tree", REPOSITORY, Path(name))
        with serving(Provider) as provider, serving(aws_handler(f"http://{provider}")) as aws:
            print(f"| Peak memory, MB, after this number of events | {' | '.join(map(str, COUNTS))} |")
            print(f"|---|{'---:|' * len(COUNTS)}")
            for function in EVENTS:
                peaks = " | ".join(f"{peak:.0f}" for peak in measure(tree, function, aws))
                print(f"| {function} | {peaks} |", flush=True)


if __name__ == "__main__":
    main()
