"""A summary that can't be saved fails nothing that is done."""

import logging

import httpx
import pytest

from tasks import summary
from tasks.runtime import server


def test_a_server_that_stays_away_fails_no_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    def away(page: str, *, key: str, description: str) -> None:
        tries.append(f"{key}: {description}")
        raise httpx.ConnectError("connection refused")

    monkeypatch.setattr(server, "PATIENCE", 0.6)
    monkeypatch.setattr(summary, "create_markdown_artifact", away)
    monkeypatch.setattr(summary, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(summary, "web", lambda: type("Web", (), {"run": staticmethod(lambda _: "")}))
    summary.summarize_failure("update_flowise_deployment", {"environment": "dev", "tag": "v1"}, ValueError("broken"))
    assert len(tries) > 1, "it is tried again"
    assert set(tries) == {"update-dev: v1 to dev failed"}
    assert "The summary update-dev was not saved: Prefect's server has been away" in caplog.text
