"""The rules of arrival one by one: from a state that is there, each change alone is not."""

import pytest

from tasks.core.models import ImageRef
from tasks.core.rollout.application import Application
from tasks.core.rollout.goal import Goal

OLD, PUSHED, LATER = (digit * 40 for digit in "123")
HISTORY = [OLD, PUSHED, LATER]
DIGESTS = {OLD: "sha256:" + "a" * 64, PUSHED: "sha256:" + "b" * 64}

OUT_OF_SYNC = {"status": "OutOfSync", "revision": PUSHED}
LEFT_OVER = {"kind": "ConfigMap", "name": "old", "status": "OutOfSync", "requiresPruning": True}
PAUSED = {"kind": "Deployment", "name": "ui", "status": "Synced", "health": {"status": "Suspended"}}

THERE = {
    "metadata": {"name": "flowise-dev"},
    "status": {
        "sync": {"status": "Synced", "revision": PUSHED},
        "health": {"status": "Healthy"},
        "reconciledAt": "2026-01-01T00:00:09Z",
        "operationState": {
            "phase": "Succeeded",
            "startedAt": "2026-01-01T00:00:01Z",
            "finishedAt": "2026-01-01T00:00:09Z",
            "syncResult": {"revision": PUSHED},
        },
        "summary": {"images": [f"acme/ui:tag@{DIGESTS[PUSHED]}", "sidecar:1"]},
    },
}


class Told:
    """The history as it is drawn above."""

    def contains(self, revision: str) -> bool:
        return HISTORY.index(revision) >= HISTORY.index(PUSHED)

    def follows(self, revision: str) -> bool:
        return HISTORY.index(revision) <= HISTORY.index(PUSHED)

    def keeps(self, revision: str) -> bool:
        return True


def distance(changes: dict[str, object]) -> list[str]:
    state = {**THERE, **{key: value for key, value in changes.items() if key == "operation"}}
    status = {**THERE["status"], **{key: value for key, value in changes.items() if key != "operation"}}
    goal = Goal(PUSHED, [ImageRef("ui", "acme/ui", digest=DIGESTS[PUSHED])], Told())
    return goal.distance(Application.model_validate({**state, "status": status}))


def test_it_is_there() -> None:
    assert distance({}) == []
    assert distance({"sync": {"status": "Synced", "revisions": ["1.2.3", LATER]}}) == []
    assert distance({"operationState": None}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"summary": {}},
        {"summary": {"images": [f"mirror.example.com/acme/ui@{DIGESTS[PUSHED]}"]}},
        {"summary": {"images": [f"mirror.example.com/acme/ui@{DIGESTS[OLD]}", "acme/ui-next:1"]}},
        {"sync": OUT_OF_SYNC, "resources": [LEFT_OVER]},
        {"sync": OUT_OF_SYNC, "resources": [LEFT_OVER | {"kind": "Deployment"}]},
        {"sync": OUT_OF_SYNC, "resources": [{"kind": "HorizontalPodAutoscaler", "status": "OutOfSync"}]},
        {"health": {"status": "Suspended"}, "resources": [PAUSED | {"kind": "CronJob"}]},
    ],
)
def test_it_is_there_all_the_same(changes: dict[str, object]) -> None:
    """Without pods that Argo CD sees, with something left over that it does not prune, with a CronJob that is off."""
    assert distance(changes) == []


def test_a_tag_is_deployed_without_a_digest() -> None:
    goal = Goal(PUSHED, [ImageRef("ui", "host:5000/ui", tag="v2")], Told())
    for images, missing in (["host:5000/ui:v2"], 0), (["host:5000/ui:v1"], 1), (["host:5000/ui:v2@sha256:1"], 0):
        status = THERE["status"] | {"summary": {"images": images}}
        assert len(goal.distance(Application.model_validate(THERE | {"status": status}))) == missing


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reconciledAt": "2026-01-01T00:00:08Z"}, "did not look at it since"),
        ({"reconciledAt": None}, "did not look at it since"),
        ({"sync": {"status": "OutOfSync", "revision": PUSHED}}, "it is OutOfSync"),
        ({"sync": {"status": "Unknown", "revision": PUSHED}}, "it is Unknown"),
        ({"sync": {"status": "Synced", "revision": OLD}}, f"compared with {OLD}"),
        ({"sync": {"status": "Synced", "revision": "1.2.3"}}, "compared with 1.2.3"),
        ({"sync": {"status": "Synced"}}, "compared with no commit"),
        ({"health": {}}, "its health is not known"),
        ({"health": {"status": "Progressing"}}, "its health is Progressing"),
        ({"summary": {"images": [f"acme/ui@{DIGESTS[OLD]}"]}}, f"no pod has acme/ui@{DIGESTS[PUSHED]}"),
        (
            {"summary": {"images": [f"acme/ui@{DIGESTS[OLD]}", f"acme/ui@{DIGESTS[PUSHED]}"]}},
            f"pods have acme/ui@{DIGESTS[OLD]} besides",
        ),
        ({"sync": OUT_OF_SYNC, "resources": [LEFT_OVER, {"kind": "StatefulSet", "status": "OutOfSync"}]}, "OutOfSync"),
        ({"sync": OUT_OF_SYNC, "resources": [LEFT_OVER], "operationState": None}, "it is OutOfSync"),
        ({"health": {"status": "Suspended"}, "resources": [PAUSED]}, "its health is Suspended"),
        ({"health": {"status": "Suspended"}}, "its health is Suspended"),
        ({"operation": {"sync": {"revision": PUSHED}}}, "an operation is in progress: about to start"),
        ({"operationState": {"phase": "Running"}}, "an operation is in progress: Running"),
        ({"operationState": {"phase": "Terminating"}}, "an operation is in progress: Terminating"),
        (
            {"operationState": {"phase": "Failed", "finishedAt": "2026-01-01T00:00:09Z", "message": "no"}},
            "the last operation is Failed (no)",
        ),
    ],
)
def test_one_thing_is_missing(changes: dict[str, object], words: str) -> None:
    assert any(words in line for line in distance(changes))
