"""Sending a request to the provider it is for, with a key that may just have been rotated."""

import time
from collections.abc import Callable

from gateway.proxy.request import ForwardRequest, with_model
from gateway.proxy.targets import TargetResolver
from gateway.proxy.upstream import Target, Upstream, UpstreamResponse


class Forwarder:
    """Finds the provider, sends the request, and looks again where the provider refuses the key that is remembered."""

    def __init__(self, targets: TargetResolver, upstream: Upstream) -> None:
        self._targets = targets
        self._upstream = upstream

    def send(
        self, request: ForwardRequest, provider_id: str | None, *, deadline: float, on_target: Callable[[Target], None]
    ) -> tuple[Target, UpstreamResponse]:
        """The provider and its answer, whose body is still to come. `deadline` is a value of the monotonic clock.

        `on_target` hears of the provider before it is called: what fails then is not without a name.
        Raises ProviderNotFound, NoProvider, KeyUnreadable and every ForwardingError.
        """
        target = self._targets.find(provider_id)
        answer = self._send(request, target, deadline, on_target)
        if answer.status != 401:
            return target, answer
        try:
            fresh = self._targets.find_fresh(provider_id)
        except BaseException:
            answer.chunks.close()
            raise
        if fresh.key == target.key:
            return target, answer
        answer.chunks.close()
        return fresh, self._send(request, fresh, deadline, on_target)

    def _send(
        self, request: ForwardRequest, target: Target, deadline: float, on_target: Callable[[Target], None]
    ) -> UpstreamResponse:
        on_target(target)
        within = deadline - time.monotonic()
        return self._upstream.forward(with_model(request, target.model), target, within=within)
