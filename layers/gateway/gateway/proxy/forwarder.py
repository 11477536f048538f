"""Sends a request to its provider, and once more if the provider's key was replaced in the meantime."""

import time
from collections.abc import Callable

from gateway.proxy.request import ForwardRequest, with_model
from gateway.proxy.responses_fallback import Sender
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Target, UpstreamResponse


class Forwarder:
    """Resolves the provider of a request and sends the request there."""

    def __init__(self, targets: TargetResolver, upstream: Sender) -> None:
        self._targets = targets
        self._upstream = upstream

    def send(
        self, request: ForwardRequest, provider_id: str | None, *, deadline: float, on_target: Callable[[Target], None]
    ) -> tuple[Target, UpstreamResponse]:
        """Returns the provider and its response, whose body has not been read. `deadline` is a monotonic time.

        Calls `on_target` before each attempt, so that the provider is known when the attempt fails.
        Raises ProviderNotFound, NoProvider, KeyUnreadable and every ForwardingError.
        """
        target = self._targets.find(provider_id)
        response = self._send(request, target, deadline, on_target)
        if response.status != 401:
            return target, response
        try:
            fresh = self._targets.find_fresh(provider_id)
        except BaseException:
            response.chunks.close()
            raise
        if fresh.key == target.key:
            return target, response
        response.chunks.close()
        return fresh, self._send(request, fresh, deadline, on_target)

    def _send(
        self, request: ForwardRequest, target: Target, deadline: float, on_target: Callable[[Target], None]
    ) -> UpstreamResponse:
        on_target(target)
        within = deadline - time.monotonic()
        return self._upstream.forward(with_model(request, target.model), target, within=within)
