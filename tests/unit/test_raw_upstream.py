"""The scripted provider: what it may not do to a client that keeps HTTP's rules."""

import httpx
import pytest

from tests.raw_upstream import Framing, RawUpstream, Script


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_pause_at_the_end_is_not_mistaken_for_a_client_that_left(framing: Framing) -> None:
    script = Script((b"data: [DONE]\n\n", 0.2), framing=framing)

    with RawUpstream(lambda _: script) as upstream, httpx.Client() as client:
        answers = [client.post(upstream.url).status_code for _ in range(3)]

        assert answers == [200, 200, 200]
        assert upstream.connections == 1
        assert [seen.left_at for seen in upstream.requests] == [None] * 3
