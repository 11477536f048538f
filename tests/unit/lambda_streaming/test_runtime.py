"""The layer's contract under the pinned awslambdaric, in its own process, against a Runtime API on real sockets."""

from tests.managed_runtime import ROOT, Runtime, Start
from tests.runtime_contract import RuntimeContract


class TestThePinnedRuntime(RuntimeContract):
    def test_echoes_the_invocation_id(self, runtime: Runtime) -> None:
        exchange = runtime.api.invoke(do="whole")

        assert f"Lambda-Runtime-Invocation-Id: invocation-of-{exchange.invoke_id}" in exchange.head


def test_readme_example_works(start_runtime: Start) -> None:
    readme = (ROOT / "layers/streaming/README.md").read_text()
    runtime = start_runtime(readme.partition("```python\n")[2].partition("```")[0])

    streamed = runtime.api.invoke(queryStringParameters={"count": "2"})
    rejected = runtime.api.invoke(queryStringParameters={"count": "many"})

    assert streamed.chunks[1:] == [b"data: 0\n\n", b"data: 1\n\n"]
    assert (rejected.prelude["statusCode"], rejected.body) == (400, b"count must be a number")
    assert runtime.logged("closed\n")
