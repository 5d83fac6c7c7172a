"""A server for each test; no key or address in the environment, and retries that do not wait."""

import pytest
from judges.prompted.misbehaving_server import MisbehavingServer


@pytest.fixture
def server(monkeypatch):
    """The server, beside a proxy that nothing may go through."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.002)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with MisbehavingServer() as running:
        yield running
