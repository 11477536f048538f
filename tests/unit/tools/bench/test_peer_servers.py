import json
from pathlib import Path

import pytest

from tools.bench.peer_servers import MODELS, PEERS, litellm, mlflow, portkey, version
from tools.bench.peers import SCRIPTS

PROVIDER = "http://127.0.0.1:9000"


@pytest.mark.parametrize("peer", PEERS)
def test_peers_listen_on_loopback_only(peer: str, tmp_path: Path) -> None:
    arguments = " ".join(PEERS[peer](PROVIDER, 9001, tmp_path).arguments)

    assert "9001" in arguments
    assert "--host 127.0.0.1" in arguments or "--import" in arguments
    assert "0.0.0.0" not in arguments


def test_usage_reports_are_switched_off(tmp_path: Path) -> None:
    assert mlflow(PROVIDER, 9001, tmp_path).environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    environ = litellm(PROVIDER, 9001, tmp_path).environ
    assert environ["LITELLM_TELEMETRY_DISABLED"] == environ["LITELLM_OFFLINE_MODE"] == "true"


def test_every_peer_calls_the_same_provider(tmp_path: Path) -> None:
    litellm(PROVIDER, 9001, tmp_path)
    mlflow(PROVIDER, 9001, tmp_path)
    [model] = json.loads((tmp_path / "litellm.yaml").read_text())["model_list"]
    endpoints = json.loads((tmp_path / "mlflow.yaml").read_text())["endpoints"]

    assert model["litellm_params"]["api_base"] == f"{PROVIDER}/v1"
    assert {endpoint["model"]["config"]["openai_api_base"] for endpoint in endpoints} == {f"{PROVIDER}/v1"}
    assert portkey(PROVIDER, 9001, tmp_path).headers["x-portkey-custom-host"] == f"{PROVIDER}/v1"


def test_mlflow_has_an_endpoint_for_each_script() -> None:
    assert set(MODELS) == set(SCRIPTS)


@pytest.mark.parametrize("peer", PEERS)
def test_versions_are_pinned(peer: str) -> None:
    assert version(peer).replace(".", "").isdigit()
