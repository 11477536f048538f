"""Sending a request to the provider it is for, with a key that may just have been rotated."""

from gateway.request import ForwardRequest, with_model
from gateway.targets import Targets
from gateway.upstream import Answer, Target, Upstream


class Forwarder:
    """Finds the provider, sends the request, and looks again where the provider refuses the key that is remembered."""

    def __init__(self, targets: Targets, upstream: Upstream) -> None:
        self._targets = targets
        self._upstream = upstream

    def send(self, request: ForwardRequest, provider_id: str | None, *, within: float) -> tuple[Target, Answer]:
        """The provider and its answer, whose body is still to come. `within`: seconds to the head of the answer.

        Raises ProviderNotFound, NoProvider, KeyUnreadable and every ForwardingError.
        """
        target = self._targets.find(provider_id)
        answer = self._send(request, target, within)
        if answer.status != 401:
            return target, answer
        fresh = self._targets.find_anew(provider_id)
        if fresh.key == target.key:
            return target, answer
        answer.close()
        return fresh, self._send(request, fresh, within)

    def _send(self, request: ForwardRequest, target: Target, within: float) -> Answer:
        return self._upstream.forward(with_model(request, target.model), target, within=within)
