"""The layer's contract under the pinned awslambdaric, in its own process, against a Runtime API on real sockets."""

from managed_runtime import LAYER, Runtime, Start
from runtime_contract import RuntimeContract


class TestThePinnedRuntime(RuntimeContract):
    def test_echoes_the_invocation_id(self, runtime: Runtime) -> None:
        exchange = runtime.api.invoke(do="whole")

        assert f"Lambda-Runtime-Invocation-Id: invocation-of-{exchange.invoke_id}" in exchange.head


def test_readme_example_works(start_runtime: Start) -> None:
    runtime = start_runtime((LAYER / "example/function/app.py").read_text())

    streamed = runtime.api.invoke(queryStringParameters={"count": "2"})
    rejected = runtime.api.invoke(queryStringParameters={"count": "many"})

    assert streamed.chunks[1:] == [b"data: 0\n\n", b"data: 1\n\n"]
    assert (rejected.prelude["statusCode"], rejected.body) == (400, b"count must be a number from 1 to 50")
    assert runtime.logged("closed\n")
