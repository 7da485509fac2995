"""Every recording of a real Argo CD, and what a rollout makes of it."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from tasks.core.errors import Inconclusive, RolloutFailed
from tasks.core.models import ImageRef, Rollout
from tasks.core.rollout.argocd import ArgoCD
from tasks.core.rollout.goal import Goal
from tasks.core.rollout.watch import Patience, wait_for_rollout
from tests.core.rollout.clock import Clock, stopped
from tests.sandbox.argocd_replay import Replay, replayed

PROVEN, REFUTED, UNKNOWN = "proven", "refuted", "unknown"
ENDS = {Rollout: PROVEN, RolloutFailed: REFUTED, Inconclusive: UNKNOWN}
ELSEWHERE = "f" * 64
"""A digest that no recording has: of images that never came."""


def recovers(replay: Replay) -> None:
    """The recording ends before; its description says what came after 54 seconds."""
    status = replay.lines[-1]["body"]["status"]
    well = [{**each, "health": {"status": "Healthy"}} for each in status["resources"]]
    summary = {"images": replay.images("2858561")}
    replay.append(54, {"health": {"status": "Healthy"}, "resources": well, "summary": summary})


def may_be_ended(replay: Replay) -> None:
    """What came after the end of the operation is another recording, with commits and images of its own."""

    def ended() -> tuple[int, object]:
        other = Replay("behind-a-retry-ended", Clock())
        commits = {"ce1643b": "f735de0", "82cced6": "b2e2c7c"}
        pairs = [(other.revision(new), replay.revision(old)) for new, old in commits.items()]
        pairs += zip(other.images("ce1643b"), wanted(replay, "f735de0"), strict=True)
        replay.continue_with("behind-a-retry-ended", 4.9, dict(pairs))
        return 200, {}

    replay.on_delete = ended


def waits_for_us(replay: Replay) -> None:
    """The sync that was recorded was asked for by an older version of this project."""
    replay.wait_for_sync(1.7)


@dataclass(frozen=True)
class Scene:
    """A recording, the commit that is waited for, and what must come of it.

    Args:
        name: the recording's.
        commit: the pushed commit.
        end: proven, refuted or unknown. Only what is refuted may be undone.
        seconds: by when it ends.
        reason: words that the log has, ``by`` a second.
        until: from here on an older version of this project took back what it should not have.
        timeout: of the rollout.
        newer: another hand's commit elsewhere in the repository.
        prepare: changes the recording.
    """

    name: str
    commit: str
    end: str
    seconds: float
    reason: str = ""
    by: float = 0
    until: float = 1e9
    timeout: float = 900
    newer: str = ""
    prepare: Callable[[Replay], None] = lambda _: None


IMMUTABLE = "Deployment flowise-server is SyncFailed: error when patching"
SCENES = [
    Scene("good", "06a9506", PROVEN, 15),
    Scene("slow", "fa25f12", PROVEN, 50),
    Scene("image-missing", "635f144", REFUTED, 90, "ImagePullBackOff: Back-off pulling image", 10, 26.5),
    Scene("crash-loop", "f27253d", REFUTED, 90, "restarting failed container", 10, 26.5),
    Scene("degraded-then-healthy", "2858561", PROVEN, 60, "restarting failed container", 10, 26.7, prepare=recovers),
    Scene("gives-up", "7f58b0c", REFUTED, 315, IMMUTABLE, 5),
    Scene("limit-0", "94ecd29", REFUTED, 5, IMMUTABLE, 5, 4),
    Scene("behind-a-retry", "f735de0", PROVEN, 20, "ended the operation", 5, prepare=may_be_ended),
    Scene("behind-a-retry", "f735de0", PROVEN, 280, "Retrying attempt #3", 5),
    Scene("behind-a-retry-ended", "ce1643b", PROVEN, 20),
    Scene("hook-works", "49fde19", PROVEN, 25),
    Scene("hook-fails-limit-0", "82978bf", REFUTED, 15, "PreSync hook Job migrate is Failed: Job was active", 15, 15.9),
    Scene("repo-server-away", "26167de", PROVEN, 50, "code = Unavailable", 5),
    Scene("controller-away", "a400a21", UNKNOWN, 45, "it was compared with 15c5e11", 0, timeout=45),
    Scene("server-away", "b1e8997", PROVEN, 50, "cannot be reached", 10),
    Scene("scaled-to-zero", "c4647f3", PROVEN, 5, until=92),
    Scene("cron-job", "555a639", PROVEN, 15),
    Scene("paused", "44d3f1d", UNKNOWN, 120, "Deployment flowise-server is Suspended", 5, 61, 120),
    Scene("other-commit", "7687dbf", PROVEN, 50, newer="01294ff"),
    Scene("no-prune", "e03e8c6", PROVEN, 15, "ConfigMap extra is OutOfSync (left over; pruning is off)", 15, 61),
    Scene("no-auto-sync", "d35854f", PROVEN, 20, "sync asked for", 5, prepare=waits_for_us),
]


class Commits:
    """The history of the recorded repository: what was compared before comes before."""

    def __init__(self, own: str, newer: str) -> None:
        self._own, self._newer = own, newer

    def contains(self, revision: str) -> bool:
        return revision in (self._own, self._newer)

    def follows(self, revision: str) -> bool:
        return revision not in (self._own, self._newer)

    def keeps(self, revision: str) -> bool:
        return revision == self._newer


def wanted(replay: Replay, commit: str) -> list[str]:
    try:
        return replay.images(commit)
    except LookupError:  # they never came
        return [f"registry.example/flowise-{name}@sha256:{ELSEWHERE}" for name in ("server", "ui")]


def images_of(replay: Replay, commit: str) -> list[ImageRef]:
    parts = [each.partition("@") for each in wanted(replay, commit)]
    return [ImageRef(name, name, digest=digest) for name, _, digest in parts]


@dataclass(frozen=True)
class Played:
    """What a rollout made of a recording: its end, what was heard and when, the seconds, and the calls."""

    end: Rollout | RolloutFailed | Inconclusive
    heard: list[tuple[float, str]]
    seconds: float
    calls: list[str]

    def said(self, words: str) -> float:
        """Tell by when words were said."""
        return min([second for second, line in self.heard if words in line], default=1e9)


def play(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Played:
    """Replay a recording against a rollout."""
    clock, heard = stopped(monkeypatch), []
    replay = Replay(scene.name, clock, scene.until)
    scene.prepare(replay)
    commit = Replay(scene.name, clock).revision(scene.commit)
    newer = replay.revision(scene.newer) if scene.newer else ""
    goal, patience = Goal(commit, images_of(replay, commit), Commits(commit, newer)), Patience(scene.timeout, 5, 60)
    with replayed(replay) as url, closing(ArgoCD(url, SecretStr("token"))) as argo:
        try:
            end: Rollout | RolloutFailed | Inconclusive = wait_for_rollout(
                argo, "flowise-dev", goal, patience, lambda line: heard.append((clock.now, line))
            )
        except (RolloutFailed, Inconclusive) as error:
            end, _ = error, heard.append((clock.now, error.message))
    return Played(end, heard, clock.now, replay.calls)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.name}-{scene.end}-{scene.seconds:g}")
def test_what_a_rollout_makes_of_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    played = play(scene, monkeypatch)
    assert ENDS[type(played.end)] == scene.end, (played.end, played.heard)
    assert played.said(scene.reason) <= scene.by or not scene.reason, played.heard
    assert played.seconds <= scene.seconds
    if scene.end == PROVEN:
        assert played.end.status == "healthy"
    elif scene.end == UNKNOWN:
        assert "Nothing was undone" in played.end.hint
    assert sum(call.startswith("POST") for call in played.calls) == (scene.prepare is waits_for_us), "a needless sync"
