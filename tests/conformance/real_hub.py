"""A real TokenHub as the subject of the conformance tests, with scripted model providers on loopback ports.

TokenHub takes a provider out of service for 30 s after five errors (docs/tokenhub.md, 2.4). The tests that follow a
failing one therefore get providers of new names.
"""

import json
import secrets
import time
from contextlib import ExitStack
from typing import Any

import httpx

from tests.conformance.hub import Models, Play, Refusal
from tests.conformance.model_providers import ModelProvider
from tests.rehearsal import wait_until
from tests.scripted_server import Request

# USD for 1,000 tokens. A budget counts nothing for a model without prices.
PRICES = {"input_per_1k": 0.001, "output_per_1k": 0.001}
ALL_SCOPES = ["chat", "plan", "embeddings"]
MAX_ADMIN_ATTEMPTS = 20
ALIAS = "conformance-alias"
NAMES = ("conformance-gpt", "conformance-claude", "conformance-embedding")


class RealHub:
    def __init__(self, url: str, admin_token: str) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._admin = httpx.Client(
            base_url=f"{self.url}/admin/v1", headers={"Authorization": f"Bearer {admin_token}"}, timeout=30
        )
        self._run = f"conformance-{secrets.token_hex(3)}"
        self._generation = 0
        self._has_errors = True
        self._providers: list[str] = []
        self._keys: list[str] = []
        self._received: list[Request] = []
        self._openai = ModelProvider(self._received, anthropic=False)
        self._anthropic = ModelProvider(self._received, anthropic=True)
        self._servers = ExitStack()
        self._servers.enter_context(self._openai.server)
        self._servers.enter_context(self._anthropic.server)
        self._reject_other_models()
        self._call("PUT", f"/aliases/{ALIAS}", {"variants": [{"model_id": NAMES[0], "weight": 1}]})
        self.key = self._create_key(ALL_SCOPES, rate_limit_rps=-1)

    @property
    def models(self) -> Models:
        gpt, claude, embedding = NAMES
        return Models(gpt, claude, embedding, self._providers[0], ALIAS, gpt)

    def prepare(self) -> None:
        if self._has_errors:
            self._register_providers()
            self._has_errors = False
        self._openai.play = self._anthropic.play = Play.ECHO

    def play(self, play: Play) -> None:
        self._openai.play = self._anthropic.play = play
        self._has_errors = True

    def refused_key(self, refusal: Refusal) -> str:
        if refusal is Refusal.SCOPE:
            return self._create_key(["plan"])
        if refusal is Refusal.RATE:
            return self._create_key(["chat"], rate_limit_rps=1)
        key = self._create_key(["chat"], monthly_budget_usd=0.000001)
        assert wait_until(lambda: self._is_over_budget(key), limit=10, every=0.2)
        return key

    def forwarded(self) -> dict[str, Any]:
        return self._received[-1].json()

    def close(self) -> None:
        """Removes the models, the providers with their stored keys, the alias and the API keys."""
        self._remove_models()
        for key in self._keys:
            self._call("DELETE", f"/apikeys/{key}")
        self._admin.close()
        self._servers.close()

    def _reject_other_models(self) -> None:
        """TokenHub would answer with another model when the scripted providers fail."""
        listed = [model["id"] for model in httpx.get(f"{self.url}/v1/models", timeout=30).json()["data"] or []]
        assert set(listed) <= set(NAMES), f"The tests need a TokenHub without models. It has {', '.join(listed)}."

    def _register_providers(self) -> None:
        """Moves the models to providers of new names, and removes the previous providers."""
        previous, self._providers = self._providers, []
        self._generation += 1
        self._add_provider("openai", self._openai)
        self._add_provider("anthropic", self._anthropic)
        gpt, claude, embedding = NAMES
        for name, provider in ((gpt, 0), (claude, 1), (embedding, 0)):
            model = {"id": name, "provider_id": self._providers[provider], "weight": 5, "enabled": True}
            self._call("POST", "/models", model | {"max_context_tokens": 200_000} | PRICES)
        for name in previous:
            self._call("DELETE", f"/providers/{name}")

    def _add_provider(self, style: str, provider: ModelProvider) -> None:
        """Registers no API key, because TokenHub's admin API cannot delete it."""
        name = f"{self._run}-{self._generation}-{style}"
        url = f"http://127.0.0.1:{provider.server.port}"
        self._call("POST", "/providers", {"id": name, "type": style, "base_url": url})
        self._providers.append(name)

    def _remove_models(self) -> None:
        self._call("DELETE", f"/aliases/{ALIAS}")
        for name in NAMES:
            self._call("DELETE", f"/models/{name}")
        for name in self._providers:
            self._call("DELETE", f"/providers/{name}")

    def _create_key(self, scopes: list[str], **options: float) -> str:
        name = f"{self._run}-{len(self._keys)}"
        created = self._call("POST", "/apikeys", {"name": name, "scopes": json.dumps(scopes)} | options)
        self._keys.append(created["id"])
        return str(created["key"])

    def _is_over_budget(self, key: str) -> bool:
        """Spends the budget. TokenHub records the cost of a completion after it has answered."""
        body = {"model": NAMES[0], "messages": [{"role": "user", "content": "spend"}]}
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=30).status_code == 429

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Repeats a call that meets the admin API's rate limit of 30 requests a second, or a locked database."""
        for _ in range(MAX_ADMIN_ATTEMPTS):
            answer = self._admin.request(method, path, json=body)
            if answer.status_code != 429 and "database is locked" not in answer.text:
                break
            time.sleep(0.5)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json())
