"""Every field over every way in: what is not well-formed is refused before anything is touched."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.flows.conftest import Installation
from tests.sandbox.repositories import head

GOOD = {"environment": "dev", "tag": "v1"}
# A line break at the very end is not seen by the form's patterns ("$" stands before it, too): the run refuses it,
# see test_bad_input.
LINES = ["a\nb", "a\rb", "a\0b", "a\x1b[2J", "a\u2028b", "x" * 201]
BAD: dict[str, list[Any]] = {
    "environment": ["", "prod", "../dev", "dev\n", "--upload-pack=x", None, 1, ["dev"]],
    "tag": ["", "-x", "a b", "a/b", "../a", "ả", "x" * 129, None, {"a": 1}],
    "sha": ["main", "abc123", "G" * 40, "a" * 41, "-" * 40],
    "server_digest": ["sha256:abc", "md5:" + "a" * 64, "sha256:" + "A" * 64, "a" * 64],
    "ui_digest": ["sha256:" + "a" * 65, "sha512:" + "a" * 64, " "],
    "actor": LINES,
    "workflow_run_id": LINES,
}
CASES = [(field, value) for field, values in BAD.items() for value in values]
NAMES = [f"{field}-{value!r:.20}" for field, value in CASES]


@pytest.fixture(scope="module")
def deployment(server: Any) -> Iterator[str]:
    """The second flow's deployment as prefect.yaml has it, without anybody who runs it."""
    from flows import update_flowise_deployment

    made = update_flowise_deployment.to_deployment("ways-in")
    yield str(made.apply())


@pytest.mark.parametrize(("field", "value"), CASES, ids=NAMES)
def test_the_run_form_refuses_it(field: str, value: object, installation: Installation, deployment: str) -> None:
    before = head(installation.gitops)
    answer = httpx.post(
        f"{installation.server.api_url}/deployments/{deployment}/create_flow_run",
        content=json.dumps({"parameters": GOOD | {field: value}}),
        trust_env=False,
    )
    assert answer.status_code in (409, 422), answer.text
    assert field in answer.text
    assert head(installation.gitops) == before


@pytest.mark.parametrize("actor", ["Nguyễn Văn Ánh", "octocat[bot]", "O'Brien; rm -rf / #", "$(id)", "-x", ""])
def test_names_of_people_are_taken(actor: str, installation: Installation, deployment: str) -> None:
    answer = httpx.post(
        f"{installation.server.api_url}/deployments/{deployment}/create_flow_run",
        json={"parameters": GOOD | {"actor": actor}, "idempotency_key": str(uuid4())},
        trust_env=False,
    )
    assert answer.status_code == 201, answer.text
