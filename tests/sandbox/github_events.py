"""Deliveries of GitHub's webhooks, as its documentation shows them ("Webhook events and payloads")."""

import hashlib
import hmac
from typing import Any

DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def headers(event: str, body: bytes, secret: str, delivery: str = DELIVERY) -> dict[str, str]:
    """The headers of a delivery, by "Delivery headers"."""
    return {
        "accept": "*/*",
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/044aadd",
        "x-github-delivery": delivery,
        "x-github-event": event,
        "x-github-hook-id": "292430182",
        "x-github-hook-installation-target-id": "79929171",
        "x-github-hook-installation-target-type": "repository",
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def pushed(repository: str, commits: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """The payload of ``push``, to main."""
    after = commits[-1]["id"] if commits else "c" * 40
    payload = {
        "ref": "refs/heads/main",
        "before": "a" * 40,
        "after": after,
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": f"https://github.com/{repository}/compare/aaaaaaaaaaaa...{after[:12]}",
        "commits": commits,
        "head_commit": commits[-1] if commits else None,
        "pusher": {"name": "mona", "email": "mona@example.com"},
        **_where(repository),
    }
    return payload | changes


def commit(sha: str, **files: list[str]) -> dict[str, Any]:
    """A commit of a push; ``added``, ``modified`` and ``removed`` are lists of paths."""
    who = {"name": "Mona", "email": "mona@example.com", "username": "mona"}
    about = {"tree_id": "d" * 40, "distinct": True, "message": "Change files", "timestamp": "2026-01-01T00:00:00Z"}
    listed: dict[str, list[str]] = {"added": [], "removed": [], "modified": []} | files
    return {"id": sha, **about, "url": f"https://github.com/c/{sha}", "author": who, "committer": who, **listed}


def dispatched(repository: str, action: str, client_payload: object) -> dict[str, Any]:
    """The payload of ``repository_dispatch``."""
    about = {"action": action, "branch": "main", "client_payload": client_payload}
    return {**about, **_where(repository), "installation": {"id": 375706, "node_id": "MDIz"}}


def _where(repository: str) -> dict[str, Any]:
    owner, _, name = repository.partition("/")
    about = {"id": 186853002, "node_id": "MDEw", "name": name, "full_name": repository, "private": True}
    return {
        "repository": {**about, "owner": {"login": owner, "id": 1}, "default_branch": "main", "master_branch": "main"},
        "sender": {"login": "mona", "id": 21031067, "type": "User", "site_admin": False},
    }
