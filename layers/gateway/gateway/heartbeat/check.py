"""One heartbeat: a real chat completion, and what it met, in words."""

import time
from collections.abc import Callable
from datetime import datetime

from aws_lambda_powertools import Logger

from gateway.core.background import begin
from gateway.core.errors import GatewayError, ProviderError
from gateway.heartbeat.health import Outcome, stream_is_due
from gateway.heartbeat.probe import NewWatcher, Probe, ProbeProgress
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Provider

MAX_TEXT_CHARACTERS = 4096
SECONDS = 20.0  # so that two beats fit into a minute
UNFORESEEN = (
    "The gateway itself failed during this heartbeat, and may fail with requests, too: "
    "the logs of the heartbeat function say why."
)


class Beat:
    """Checks providers. `target_for` gives a provider's endpoint and key, `now` the time that is kept."""

    def __init__(
        self,
        upstream: Upstream,
        target_for: Callable[[Provider], Target],
        *,
        now: Callable[[], datetime],
        logger: Logger,
        seconds: float = SECONDS,
        new_watcher: NewWatcher = StreamWatcher,
    ) -> None:
        self._target_of = target_for
        self._now = now
        self._logger = logger
        self._seconds = seconds
        # The beat itself keeps the time; the ping's only ends a thread that waits for a head in vain.
        self._ping = Probe(upstream, new_watcher, within=seconds + 1)

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        """Beats once. Whatever goes wrong is the outcome, never an exception: users' requests would fail, too."""
        started_at, began = self._now(), time.monotonic()
        stream, progress = stream_is_due(provider.health), ProbeProgress()
        error = self._error(provider, progress, stream=stream)
        return Outcome(
            started_at=started_at,
            latency_ms=round((time.monotonic() - began) * 1000),
            error=_storable(error),
            model=_storable(progress.model) if error is None else None,
            ttft_ms=progress.ttft_ms,
            tokens=progress.tokens,
            slot=slot,
            stream=stream,
        )

    def _error(self, provider: Provider, progress: ProbeProgress, *, stream: bool) -> str | None:
        """What went wrong within the time of a beat; None: nothing.

        No timeout of a socket is one of a whole answer, which may come a byte at a time. Work that is late is hung up,
        and ends in its thread without anybody who hears of it.
        """
        hidden: list[ProviderError] = []
        done = begin(lambda: self._ask(provider, progress, hidden, stream=stream), "ping")
        try:
            failure = done.exception(timeout=self._seconds)
        except TimeoutError:
            words = _words(hidden[0]) if hidden else self._late(provider, progress)
            progress.give_up()  # which changes what the words are made of
            return words
        if failure is None:
            return None
        if isinstance(failure, GatewayError):
            return _words(failure)
        self._log(provider, failure)
        return UNFORESEEN

    def _ask(self, provider: Provider, progress: ProbeProgress, hidden: list[ProviderError], *, stream: bool) -> None:
        """Asks once, and again where the failure hides its cause: TokenHub tells it on streams only."""
        target = self._target_of(provider)
        try:
            self._ping.ask(provider, target, progress, stream=stream)
        except ProviderError as failure:
            if stream or failure.code != "provider_all_failed":
                raise
            hidden.append(failure)
            raise self._cause(provider, target, progress) or failure from None

    def _cause(self, provider: Provider, target: Target, progress: ProbeProgress) -> ProviderError | None:
        try:
            self._ping.ask(provider, target, progress, stream=True)
        except ProviderError as failure:
            if failure.code == "provider_all_failed":
                return failure
        except GatewayError:
            return None  # it hides the cause as well
        except Exception as failure:  # noqa: BLE001 -- it must not hide what is known
            self._log(provider, failure)
        return None

    def _late(self, provider: Provider, progress: ProbeProgress) -> str:
        seconds = f"{self._seconds:g} s"
        if not progress.asked:
            return f"KMS had not decrypted the provider's key after {seconds}: check the heartbeat function's network."
        if progress.status is None:
            return f"{provider.endpoint} had not answered a ping after {seconds}. Is TokenHub overloaded?"
        return (
            f"HTTP {progress.status}: {provider.endpoint} had begun to answer a ping, "
            f"and was not done after {seconds}. Is TokenHub overloaded?"
        )

    def _log(self, provider: Provider, failure: BaseException) -> None:
        self._logger.error("unforeseen in a beat", exc_info=failure, extra={"provider": provider.id})


def _storable(text: str | None) -> str | None:
    """What DynamoDB takes: a status that cannot be written, for a provider's odd text, would stay as it was."""
    return None if text is None else text[:MAX_TEXT_CHARACTERS].encode(errors="replace").decode()


def _words(failure: GatewayError) -> str:
    status = f"HTTP {failure.status}"
    said = not isinstance(failure, ProviderError) or failure.message.startswith(status)  # an answer without words
    return failure.message if said else f"{status}: {failure.message}"
