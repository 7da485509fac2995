"""The stand-in for Argo CD refuses what a real Argo CD 3.5.1 refused, with the same words."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.sandbox.argocd import ArgoCD, argocd
from tests.sandbox.argocd_controller import Application
from tests.sandbox.argocd_replay import load

TOKEN = "a.good.token"
SENT = {"no token": None, "a token that is none": "nonsense.x", "a token with a wrong signature": "a.bad.token"}
ELSEWHERE = (
    "rollback",
    "delete",
    "an unknown path",
    "list",
    "role",
    "expired",
    "fields",
    "its tree",
    "a word that is none",
)
"""Calls that a rollout does not make, and other accounts and answers than the stand-in knows."""

REFUSED = [
    each for each in load("errors") if each["status"] >= 400 and not any(word in each["what"] for word in ELSEWHERE)
]


@pytest.fixture(scope="module")
def running() -> Iterator[ArgoCD]:
    applications = [
        Application("flowise-dev", lambda: "c" * 40, lambda _: ["ui:1"], project="applications"),
        Application(
            "flowise-team", lambda: "c" * 40, lambda _: ["ui:1"], project="applications", namespace="team-apps"
        ),
    ]
    with argocd(*applications, token=TOKEN) as running:
        yield running


@pytest.mark.parametrize("recorded", REFUSED, ids=lambda each: each["what"].replace(" ", "-"))
def test_it_refuses_as_the_real_one(recorded: dict[str, Any], running: ArgoCD) -> None:
    method, path = recorded["request"].split(" ")
    token = SENT.get(recorded["what"], TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if "without a content type" not in recorded["what"]:
        headers["Content-Type"] = "application/json"
    body = json.dumps(recorded["sent"]).encode() if recorded["sent"] is not None else None
    answer = httpx.request(method, f"{running.url}{path}", headers=headers, content=body, trust_env=False)
    assert answer.status_code == recorded["status"]
    if recorded["type"] == "application/json":
        assert answer.json() == json.loads(recorded["body"])
    else:
        assert answer.text == recorded["body"]
