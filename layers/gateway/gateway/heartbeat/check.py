"""Runs one heartbeat of one provider: one or two chat completions within a time limit."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aws_lambda_powertools import Logger

from gateway.core.background import begin
from gateway.core.errors import GatewayError, ProviderError
from gateway.heartbeat.cause import hiding_message, refuses
from gateway.heartbeat.health import Outcome, is_stream_due
from gateway.heartbeat.probe import NewWatcher, Probe, ProbeProgress, TokenField
from gateway.proxy.sse import StreamWatcher
from gateway.proxy.upstream import Target, Upstream
from gateway.registry.provider import Provider

MAX_TEXT_CHARACTERS = 4096
# Less than the 30 s between two ticks, so that two heartbeats fit into a minute.
TIMEOUT_SECONDS = 20.0
ALL_PROVIDERS_FAILED = "provider_all_failed"
TOKEN_FIELDS: tuple[TokenField, TokenField] = ("max_tokens", "max_completion_tokens")
FIX_HANG = "The model or TokenHub hangs or is overloaded: see `tokenhubctl health`."
INTERNAL_ERROR = (
    "The gateway itself failed during this heartbeat, so users' requests may fail too. "
    "Check the logs of the heartbeat function."
)


@dataclass(frozen=True)
class _Failure:
    """Why a heartbeat failed. `hiding_message` is TokenHub's message if it hides the cause."""

    error: str
    hiding_message: str | None = None


@dataclass
class _Beat:
    """A heartbeat in progress. `hiding_failure` is a failure that hid its cause, while a stream looks for the cause."""

    provider: Provider
    progress: ProbeProgress
    stream: bool
    hiding_failure: ProviderError | None = None


class HeartbeatCheck:
    """Checks providers. `target_for` returns a provider's endpoint and key, `now` the time that is stored."""

    def __init__(
        self,
        upstream: Upstream,
        target_for: Callable[[Provider], Target],
        *,
        now: Callable[[], datetime],
        logger: Logger,
        seconds: float = TIMEOUT_SECONDS,
        new_watcher: NewWatcher = StreamWatcher,
    ) -> None:
        self._target_for = target_for
        self._now = now
        self._logger = logger
        self._seconds = seconds
        # This class enforces the time limit. The probe's longer limit only ends a thread that still waits for a head.
        self._probe = Probe(upstream, new_watcher, within=seconds + 1)

    def run(self, provider: Provider, *, slot: str | None) -> Outcome:
        """Runs one heartbeat. Never raises: every failure becomes the outcome, because users' requests fail too."""
        started_at, began = self._now(), time.monotonic()
        stream, progress = is_stream_due(provider.health), ProbeProgress()
        failure = self._failure_within_timeout(provider, progress, stream=stream)
        return Outcome(
            started_at=started_at,
            latency_ms=round((time.monotonic() - began) * 1000),
            error=_storable(failure.error) if failure else None,
            model=_storable(progress.model) if failure is None else None,
            ttft_ms=progress.ttft_ms,
            tokens=progress.tokens,
            slot=slot,
            planned=provider.is_muted(started_at),
            stream=stream,
            hiding_message=failure.hiding_message if failure else None,
            warning=_storable(progress.warning) if failure is None else None,
            max_tokens_refused_version=provider.version if progress.max_tokens_refused else None,
        )

    def _failure_within_timeout(self, provider: Provider, progress: ProbeProgress, *, stream: bool) -> _Failure | None:
        """Probes in another thread and returns the failure after the time limit at the latest, or None.

        A socket timeout does not limit an answer that arrives one byte at a time.
        """
        beat = _Beat(provider, progress, stream)
        done = begin(lambda: self._probe_with_any_token_field(beat), "probe")
        try:
            failure = done.exception(timeout=self._seconds)
        except TimeoutError:
            # The message comes before give_up(), which changes the progress that the message is made of.
            timeout = _Failure(self._timeout_message(provider, progress))
            progress.give_up()
            return timeout if beat.hiding_failure is None else _describe(beat.hiding_failure)
        if failure is None:
            return None
        if isinstance(failure, GatewayError):
            return _describe(failure)
        self._log(provider, failure)
        return _Failure(INTERNAL_ERROR)

    def _probe_with_any_token_field(self, beat: _Beat) -> None:
        """Probes. If the model refuses the field that limits its tokens, probes again with the other field.

        Raises the failure of the second probe, or the first one if the model refuses the other field too.
        """
        provider, target = beat.provider, self._target_for(beat.provider)
        is_refused = provider.health.max_tokens_refused_version == provider.version
        field, other = TOKEN_FIELDS[::-1] if is_refused else TOKEN_FIELDS
        try:
            self._probe_for_cause(beat, target, field)
        except ProviderError as failure:
            if provider.heartbeat.max_tokens is None or not refuses(failure, field):
                raise
            beat.hiding_failure = None
            try:
                self._probe.run(provider, target, beat.progress, other, stream=beat.stream)
            except ProviderError as second:
                raise failure if refuses(second, other) else second from None
            beat.progress.max_tokens_refused = other == "max_completion_tokens"

    def _probe_for_cause(self, beat: _Beat, target: Target, field: TokenField) -> None:
        """Probes. If the failure hides its cause, probes again with a stream: TokenHub names the cause in streams only.

        Keeps such a failure in `hiding_failure` before the second probe. Raises the failure that names the cause.
        """
        try:
            self._probe.run(beat.provider, target, beat.progress, field, stream=beat.stream)
        except ProviderError as failure:
            if beat.stream or failure.code != ALL_PROVIDERS_FAILED:
                raise
            beat.hiding_failure = failure
            raise self._find_cause(beat, target, field) or failure from None

    def _find_cause(self, beat: _Beat, target: Target, field: TokenField) -> ProviderError | None:
        """Returns None if the stream does not name the cause either."""
        try:
            self._probe.run(beat.provider, target, beat.progress, field, stream=True)
        except ProviderError as failure:
            if failure.code == ALL_PROVIDERS_FAILED and hiding_message(failure) is None:
                return failure
        except GatewayError:
            return None
        except Exception as failure:  # noqa: BLE001 -- the first failure must still be reported
            self._log(beat.provider, failure)
        return None

    def _timeout_message(self, provider: Provider, progress: ProbeProgress) -> str:
        limit = f"within {self._seconds:g} s"
        if not progress.started:
            return f"KMS did not decrypt the provider's key {limit}. Check the heartbeat function's network."
        if progress.status is None:
            return f"{provider.endpoint} did not answer {limit}. {FIX_HANG}"
        return f"HTTP {progress.status}: {provider.endpoint} began to answer but did not finish {limit}. {FIX_HANG}"

    def _log(self, provider: Provider, failure: BaseException) -> None:
        self._logger.error("unexpected error in a heartbeat", exc_info=failure, extra={"provider": provider.id})


def _storable(text: str | None) -> str | None:
    """Shortens a text and replaces lone surrogates. DynamoDB would reject the whole status otherwise."""
    return None if text is None else text[:MAX_TEXT_CHARACTERS].encode(errors="replace").decode()


def _describe(failure: GatewayError) -> _Failure:
    """Returns the failure with its message. A provider's own error starts with its status."""
    status = f"HTTP {failure.status}"
    # The message of an answer with an empty body already starts with the status.
    if not isinstance(failure, ProviderError) or failure.message.startswith(status):
        return _Failure(failure.message)
    return _Failure(f"{status}: {failure.message}", hiding_message(failure))
