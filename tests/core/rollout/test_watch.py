"""A commit on its way into the cluster, against a stand-in whose controller shows every state on the way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import SecretStr

from tasks.core.errors import AccessDenied, Inconclusive, InvalidInput, NotFound, NotSynced, RolloutFailed, Unavailable
from tasks.core.git import Remote
from tasks.core.gitops.history import GitOpsHistory
from tasks.core.gitops.repository import GitOps
from tasks.core.models import ImageRef, Rollout
from tasks.core.rollout.argocd import ArgoCD, Scope
from tasks.core.rollout.goal import Goal
from tasks.core.rollout.watch import Patience, wait_for_rollout
from tests.core.rollout.clock import Clock, stopped
from tests.sandbox import argocd as sandbox
from tests.sandbox import repositories
from tests.sandbox.argocd import DENIED, FAILED_PRECONDITION, INTERNAL, UNAUTHENTICATED, error
from tests.sandbox.argocd_controller import DEGRADED, HEALTHY, PROGRESSING, Application, follow
from tests.sandbox.gitops_files import APP

NAME = "flowise-dev"
OLD, PUSHED, LATER, COMMENT = (digit * 40 for digit in "1234")
DIGESTS = {OLD: "sha256:" + "a" * 64, PUSHED: "sha256:" + "b" * 64, LATER: "sha256:" + "c" * 64}
DIGESTS[COMMENT] = DIGESTS[PUSHED]
HISTORY = [OLD, PUSHED, COMMENT, LATER]


class World:
    """An Argo CD with one application, and the branch it follows: ``branch[-1]`` is the newest commit."""

    def __init__(self, argo: sandbox.ArgoCD, stack: ExitStack) -> None:
        self.branch = [OLD]
        self.app = Application(NAME, lambda: self.branch[-1], lambda revision: [f"acme/ui@{DIGESTS[revision]}"])
        self.argo = argo
        argo.reset(self.app)
        self.asked: list[str] = []
        self.heard: list[str] = []
        self._stack = stack

    def push(self, *commits: str) -> None:
        self.branch += commits

    def wait(
        self,
        commit: str = PUSHED,
        *,
        digests: tuple[str, ...] | None = None,
        timeout: float = 300,
        name: str = NAME,
        **options: object,
    ) -> Rollout:
        options = {"token": self.argo.token, "refresh_timeout": 0.1} | options
        scope = Scope(options.pop("project", ""), options.pop("namespace", ""))
        patience = Patience(timeout, 5, 60, options.pop("pods_degraded", 0))
        client = ArgoCD(self.argo.url, SecretStr(options.pop("token")), scope, **options)
        self._stack.callback(client.close)
        wanted = (DIGESTS[commit],) if digests is None else digests
        goal = Goal(commit, [ImageRef("ui", "acme/ui", digest=each) for each in wanted], self.history(commit))
        return wait_for_rollout(client, name, goal, patience, self.heard.append)

    def history(self, commit: str) -> "Told":
        return Told(commit, self.asked.append)


class Told:
    """The history as it is drawn above; commits of elsewhere are no descendants."""

    def __init__(self, commit: str, asked: Callable[[str], None]) -> None:
        self.commit, self.asked = commit, asked

    def contains(self, revision: str) -> bool:
        self.asked(revision)
        return revision in HISTORY and HISTORY.index(revision) >= HISTORY.index(self.commit)

    def follows(self, revision: str) -> bool:
        return revision in HISTORY and HISTORY.index(revision) <= HISTORY.index(self.commit)

    def keeps(self, revision: str) -> bool:
        return DIGESTS[revision] == DIGESTS[self.commit]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Minutes of waiting, in no time."""
    return stopped(monkeypatch)


@pytest.fixture(scope="module")
def argo() -> Iterator[sandbox.ArgoCD]:
    with sandbox.argocd() as running:
        yield running


@pytest.fixture
def world(argo: sandbox.ArgoCD) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(argo, stack)


class TestItArrives:
    def test_automatic_sync_does_it_and_nobody_asks(self, world: World) -> None:
        world.push(PUSHED)
        rollout = world.wait()
        assert (rollout.application, rollout.status, rollout.revision) == (NAME, "healthy", PUSHED)
        assert rollout.images == (f"acme/ui@{DIGESTS[PUSHED]}",)
        assert rollout.message == "successfully synced (all tasks run)"
        assert world.argo.calls[0] == "refresh"
        assert set(world.argo.calls[1:]) == {"get"}
        assert (world.app.live, world.app.health) == (PUSHED, HEALTHY)

    def test_without_automatic_sync_it_is_asked_for_once(self, world: World) -> None:
        world.app.auto_sync = False
        world.push(PUSHED)
        assert world.wait().revision == PUSHED
        assert world.argo.syncs == [{"name": NAME, "prune": False}]
        assert world.argo.calls.count("sync") == 1

    def test_a_sync_prunes_where_the_application_does(self, world: World) -> None:
        world.app.operation_state = None
        world.push(PUSHED)
        world.app.step = lambda: None  # automatic sync is late
        world.app.compared = {"status": "OutOfSync", "revision": PUSHED}
        with pytest.raises(Inconclusive):
            world.wait()
        assert world.argo.syncs[0] == {"name": NAME, "prune": True}

    def test_the_state_from_before_is_not_believed(self, world: World) -> None:
        """All the while until the controller looks again the application says Synced and Healthy."""
        world.push(PUSHED)
        world.app.refresh_hangs = True
        before = world.app.answer()["status"]
        assert (before["sync"]["status"], before["health"]["status"]) == ("Synced", "Healthy")
        rollout = world.wait()
        assert (rollout.revision, world.app.live) == (PUSHED, PUSHED)
        assert world.argo.calls[:2] == ["refresh", "get"]

    def test_a_descendant_is_as_good(self, world: World) -> None:
        world.push(PUSHED, COMMENT)
        assert world.wait().revision == COMMENT
        assert sorted(world.asked) == sorted(set(world.asked)), "git is asked once for each commit"

    def test_a_newer_commit_with_other_images_ends_it(self, world: World) -> None:
        """These images can no longer arrive: their run is not to wait until its time is up, and fail."""
        world.push(PUSHED, LATER)
        rollout = world.wait()
        assert (rollout.status, rollout.revision) == ("superseded", LATER)
        assert rollout.message == f"commit {LATER[:7]} brings other images"
        assert world.argo.calls == ["refresh"]

    def test_a_newer_commit_that_comes_while_it_is_waited_for_ends_it(self, world: World) -> None:
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING] * 1000
        step, calls = world.app.step, world.argo.calls

        def overtaken() -> None:
            step()
            if len(calls) == 6:
                world.push(LATER)

        world.app.step = overtaken
        assert world.wait().status == "superseded"

    def test_a_commit_of_elsewhere_is_not_it(self, world: World) -> None:
        """The branch was rewritten, or the revision is that of another source."""
        world.branch = ["9" * 40]
        world.app.images = lambda _: [f"acme/ui@{DIGESTS[OLD]}"]
        world.app._reconcile()
        with pytest.raises(Inconclusive, match=f"compared with {'9' * 40}"):
            world.wait()

    def test_what_argo_cd_tries_again_by_itself_is_waited_for(self, world: World) -> None:
        """Between two tries the operation is Running, and has a finishedAt."""
        world.push(PUSHED)
        world.app.operation_steps = 6
        step = world.app.step

        def retrying() -> None:
            step()
            state = world.app.operation_state
            if state["phase"] == "Running":
                again = {"finishedAt": world.app.now(), "message": "denied. Retrying attempt #1 at 3:04PM."}
                world.app.operation_state = {**state, **again}

        world.app.step = retrying
        assert world.wait().revision == PUSHED
        assert any("Running (denied. Retrying attempt #1" in line for line in world.heard)
        assert not world.argo.syncs

    def test_another_operation_is_waited_for(self, world: World) -> None:
        world.app.auto_sync = False
        world.push(PUSHED)
        world.app.begin(OLD)
        assert world.wait().revision == PUSHED
        assert len(world.argo.syncs) == 1

    def test_losing_the_race_for_the_sync_is_not_a_failure(self, world: World) -> None:
        world.app.auto_sync = False
        world.push(PUSHED)
        world.argo.refusals += [error(FAILED_PRECONDITION, "another operation is already in progress")] * 2
        assert world.wait().revision == PUSHED
        assert world.argo.calls.count("sync") == 3
        assert len([line for line in world.heard if "already in progress" in line]) == 1

    def test_somebody_else_s_failure_is_not_ours(self, world: World) -> None:
        world.app.auto_sync = False
        world.push(PUSHED)
        world.app.begin(OLD)
        world.app.outcome, world.app.message = "Failed", "one or more objects failed to apply"
        states = iter([None] * 4)
        step = world.app.step

        def mended() -> None:
            step()
            if next(states, 0) == 0:
                world.app.outcome = "Succeeded"

        world.app.step = mended
        assert world.wait().revision == PUSHED

    def test_the_same_commit_can_be_tried_again_after_a_failure(self, world: World) -> None:
        world.push(PUSHED)
        world.app.outcome, world.app.message = "Failed", "quota exceeded"
        with pytest.raises(RolloutFailed, match="quota exceeded"):
            world.wait()
        world.app.outcome = "Succeeded"
        assert world.wait().revision == PUSHED
        assert len(world.argo.syncs) == 1, "automatic sync does not try a revision again"

    def test_a_failure_from_before_does_not_count_while_the_next_operation_is_about_to_start(
        self, world: World
    ) -> None:
        world.push(PUSHED)
        world.app.outcome, world.app.message = "Failed", "quota exceeded"
        with pytest.raises(RolloutFailed):
            world.wait()
        world.app.outcome = "Succeeded"
        world.app.begin(PUSHED)
        assert world.wait().revision == PUSHED
        assert not world.argo.syncs

    def test_what_was_mended_by_hand_after_a_failure_is_synced_again(self, world: World) -> None:
        world.push(PUSHED)
        world.app.outcome, world.app.message = "Failed", "quota exceeded"
        with pytest.raises(RolloutFailed):
            world.wait()
        world.app.outcome, world.app.live = "Succeeded", PUSHED
        assert world.wait().message == "successfully synced (all tasks run)"
        assert len(world.argo.syncs) == 1

    def test_nothing_differs_and_nothing_is_synced(self, world: World) -> None:
        world.push(PUSHED)
        world.wait()
        world.argo.calls.clear()
        world.push(COMMENT)
        rollout = world.wait(COMMENT)
        assert (rollout.revision, rollout.message) == (COMMENT, "Argo CD had nothing to sync")
        assert world.argo.calls == ["refresh"]

    def test_it_is_there_already(self, world: World) -> None:
        assert world.wait(OLD).message == "Argo CD had nothing to sync"
        world.app.operation_state = None  # taken over by Argo CD as it was, and never synced
        assert world.wait(OLD).status == "healthy"
        assert world.argo.calls == ["refresh", "refresh"]

    def test_what_was_degraded_before_may_be_what_the_commit_mends(self, world: World) -> None:
        world.app.cluster = DEGRADED
        world.app._reconcile()
        world.push(PUSHED)
        assert world.wait().revision == PUSHED

    def test_a_sync_window_opens(self, world: World) -> None:
        world.push(PUSHED)
        world.app.window_closed = True
        step, calls = world.app.step, world.argo.calls

        def opened() -> None:
            step()
            world.app.window_closed = len(calls) < 20

        world.app.step = opened
        assert world.wait().revision == PUSHED

    def test_what_was_degraded_before_does_not_count_while_the_sync_has_to_wait(self, world: World) -> None:
        world.app.cluster, world.app.auto_sync = DEGRADED, False
        world.app._reconcile()
        world.push(PUSHED)
        world.argo.refusals += [error(FAILED_PRECONDITION, "another operation is already in progress")] * 4
        assert world.wait().revision == PUSHED

    def test_degraded_for_a_moment_is_passing(self, world: World) -> None:
        world.app.after_sync = [PROGRESSING, *[DEGRADED] * 11, ("Missing", ""), ("Unknown", ""), HEALTHY]
        world.push(PUSHED)
        assert world.wait().status == "healthy"

    def test_a_server_that_fails_for_a_while_is_waited_for(self, world: World) -> None:
        world.push(PUSHED)
        world.argo.failures += [error(INTERNAL, "boom"), HTMLResponse("<html>", 502), error(INTERNAL, "boom")]
        assert world.wait().revision == PUSHED
        assert len([line for line in world.heard if "500 boom" in line]) <= 2

    def test_a_proxy_that_answers_meanwhile_is_waited_for(self, world: World) -> None:
        world.push(PUSHED)
        step, calls = world.app.step, world.argo.calls

        def restarting() -> None:
            step()
            if len(calls) == 3:
                world.argo.failures += [HTMLResponse("<html>404 page not found", 404), HTMLResponse("<html>Soon.")]

        world.app.step = restarting
        assert world.wait().revision == PUSHED
        assert any("is not Argo CD's API: 404" in line for line in world.heard)
        world.argo.failures.append(HTMLResponse("<html>Soon."))
        with pytest.raises(InvalidInput, match="is not Argo CD's API"):
            world.wait()

    def test_git_that_fails_for_a_while_is_waited_for(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.push(PUSHED, COMMENT)
        answers = iter([Unavailable("git is away")])

        def failing(revision: str) -> None:
            for failure in answers:
                raise failure

        monkeypatch.setattr(world, "history", lambda commit: Told(commit, failing))
        assert world.wait().revision == COMMENT
        assert f"{NAME}: git is away" in world.heard

    def test_tags_are_deployed_without_digests(self, world: World) -> None:
        world.push(PUSHED)
        assert world.wait(digests=()).revision == PUSHED


class TestItFails:
    @pytest.mark.parametrize("phase", ["Failed", "Error"])
    def test_the_operation_failed(self, world: World, phase: str) -> None:
        world.push(PUSHED)
        world.app.outcome, world.app.message = phase, "admission webhook denied it"
        with pytest.raises(RolloutFailed) as caught:
            world.wait()
        assert f"{phase} (admission webhook denied it)" in caught.value.message
        assert "Deployment flowise-server is SyncFailed: admission webhook denied it" in caught.value.message

    def test_it_is_degraded_afterwards(self, world: World) -> None:
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING, DEGRADED]
        with pytest.raises(RolloutFailed) as caught:
            world.wait()
        assert f"Degraded at {PUSHED}" in caught.value.message
        assert DEGRADED[1] in caught.value.message

    def test_it_is_degraded_and_there_is_nothing_to_sync(self, world: World) -> None:
        world.app.cluster = DEGRADED
        with pytest.raises(RolloutFailed, match="Degraded"):
            world.wait(OLD)
        assert not world.argo.syncs


class TestNobodyKnows:
    """Neither proven nor refuted: the run fails, says what was seen last, and nothing may be undone."""

    @pytest.mark.parametrize("health", ["Progressing", "Missing", "Unknown", "Suspended"])
    def test_time_is_up(self, world: World, clock: Clock, health: str) -> None:
        world.push(PUSHED)
        world.app.after_sync = [(health, "waiting for a pod")]
        with pytest.raises(Inconclusive) as caught:
            world.wait()
        assert clock.now == 300
        assert f"After 300 seconds it is not known whether {NAME} runs {PUSHED[:7]}" in caught.value.message
        assert f"its health is {health}" in caught.value.message
        assert "Nothing was undone" in caught.value.hint
        assert not isinstance(caught.value, RolloutFailed), "which alone may undo something"

    def test_degraded_for_too_short_a_time(self, world: World) -> None:
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING] * 6 + [DEGRADED]
        with pytest.raises(Inconclusive, match="its health is Degraded"):
            world.wait(timeout=70)

    def test_degraded_with_breaks(self, world: World) -> None:
        world.push(PUSHED)
        world.app.after_sync = ([DEGRADED] * 10 + [PROGRESSING]) * 4
        with pytest.raises(Inconclusive, match="its health is"):
            world.wait(timeout=200)

    def test_degraded_but_the_controller_is_away(self, world: World) -> None:
        """It may have become well long ago: what Argo CD has not looked at again is no evidence."""
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING, DEGRADED]
        world.app.refresh_hangs = True
        with pytest.raises(Inconclusive, match="cannot be reached"):
            world.wait(timeout=100)

    def test_what_was_degraded_before_and_still_is(self, world: World) -> None:
        world.app.cluster, world.app.after_sync = DEGRADED, [DEGRADED]
        world.app._reconcile()
        world.push(PUSHED)
        with pytest.raises(Inconclusive, match="its health is Degraded"):
            world.wait()

    def test_an_operation_that_never_ends(self, world: World) -> None:
        world.push(PUSHED)
        world.app.auto_sync = False
        world.app.operation_steps = 10**6
        with pytest.raises(Inconclusive) as caught:
            world.wait()
        assert "an operation is in progress: Running" in caught.value.message
        assert len(world.argo.syncs) == 1

    def test_the_commit_never_shows_up(self, world: World) -> None:
        with pytest.raises(Inconclusive, match=f"compared with {OLD}"):
            world.wait()
        assert set(world.argo.calls) == {"refresh"}, "looked for as long as it isn't there"
        assert not world.argo.syncs

    def test_an_application_of_another_branch(self, world: World) -> None:
        world.app.target = "release"
        with pytest.raises(Inconclusive, match=f"compared with {OLD} of release"):
            world.wait()

    @pytest.mark.parametrize("parameter", [f"ui=acme/ui@{DIGESTS[OLD]}", "acme/ui:v0", "ui:v0"])
    def test_a_parameter_of_argo_cd_s_own_goes_before_the_commit(self, world: World, parameter: str) -> None:
        """Image Updater writes one. Where no pods are seen, Synced and Healthy would look like this commit."""
        world.push(PUSHED)
        world.app.parameters = [parameter]
        world.app.images = lambda _: []
        with pytest.raises(Inconclusive) as caught:
            world.wait()
        assert f"kustomize.images sets {parameter}, whatever the commit says" in caught.value.message

    @pytest.mark.parametrize("parameter", [f"ui=acme/ui@{DIGESTS[PUSHED]}", "ui=acme/ui", "redis:8", "acme/ui-next:v0"])
    def test_other_parameters_are_no_matter(self, world: World, parameter: str) -> None:
        world.push(PUSHED)
        world.app.parameters = [parameter]
        assert world.wait().status == "healthy"

    def test_the_images_never_run(self, world: World) -> None:
        world.push(PUSHED)
        with pytest.raises(Inconclusive, match=f"no pod has acme/ui@{DIGESTS[LATER]}"):
            world.wait(digests=(DIGESTS[LATER],))

    def test_manifests_cannot_be_made(self, world: World) -> None:
        world.app.conditions.append({"type": "ComparisonError", "message": "kustomize build failed"})
        with pytest.raises(Inconclusive, match="ComparisonError: kustomize build failed"):
            world.wait()

    def test_a_server_that_stays_away(self, world: World) -> None:
        world.argo.failures += [error(INTERNAL, "boom")] * 1000
        with pytest.raises(Inconclusive, match="500 boom"):
            world.wait()

    def test_a_person_ends_the_operation(self, world: World, clock: Clock) -> None:
        world.push(PUSHED)
        world.app.outcome, world.app.message = "Failed", "Operation terminated"
        with pytest.raises(Inconclusive, match=r"by a person or a time limit \(Operation terminated\)"):
            world.wait()
        assert 60 <= clock.now < 120, "the person may have wanted to begin again"
        assert not world.argo.syncs

    def test_a_person_switches_automatic_sync_off(self, world: World) -> None:
        step, calls = world.app.step, world.argo.calls

        def switched_off() -> None:
            if len(calls) == 3:
                world.push(PUSHED)
                world.app.auto_sync = False
            step()

        world.app.step = switched_off
        with pytest.raises(Inconclusive, match="a person switched automatic sync off in Argo CD"):
            world.wait()
        assert not world.argo.syncs

    def test_a_person_rolls_back_in_argo_cd(self, world: World) -> None:
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING] * 1000
        step, calls = world.app.step, world.argo.calls

        def rolled_back() -> None:
            step()
            if len(calls) == 8:
                world.app.auto_sync = False
                world.app._work = world.app._controller()
                world.app.begin(OLD)

        world.app.step = rolled_back
        with pytest.raises(Inconclusive, match=f"a person had Argo CD deploy {OLD} instead"):
            world.wait()
        assert not world.argo.syncs, "which would undo what the person did"

    @pytest.mark.parametrize(
        "message",
        [
            "ComparisonError: Failed to load target state: rpc error: code = Unavailable desc = connection error",
            "error resolving repo revision: rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            'Get "https://10.0.0.1:443/version": dial tcp 10.0.0.1:443: connect: connection refused',
            'Get "https://10.0.0.1:443/version": x509: certificate has expired or is not yet valid',
            'failed to get cluster info for "https://10.0.0.1:443": Unauthorized',
            "error synchronizing cache state: failed to sync cluster https://10.0.0.1:443",
            "the object has been modified; please apply your changes to the latest version and try again",
            'Internal error occurred: failed calling webhook "validate": no endpoints available for service "policy"',
            "http2: client connection lost",
        ],
    )
    def test_argo_cd_could_not_reach_something(self, world: World, message: str) -> None:
        """It is asked again for a sync, and not for ever."""
        world.push(PUSHED)
        world.app.outcome, world.app.message = "Error", message
        with pytest.raises(Inconclusive, match="the last operation is Error"):
            world.wait()
        assert len(world.argo.syncs) == 3

    def test_a_workload_stays_out_of_sync(self, world: World) -> None:
        """A sync from a stale cache succeeds and changes nothing."""
        world.push(PUSHED)
        world.app.images = lambda revision: [f"acme/ui@{DIGESTS[revision]}", revision]
        reconcile = world.app._reconcile

        def stale() -> None:
            reconcile()
            world.app.compared["status"] = "OutOfSync"

        world.app._reconcile = stale
        with pytest.raises(Inconclusive, match="it is OutOfSync: Deployment flowise-server"):
            world.wait()
        assert len(world.argo.syncs) == 3

    def test_a_sync_window_is_closed(self, world: World) -> None:
        world.push(PUSHED)
        world.app.window_closed = True
        with pytest.raises(NotSynced, match="blocked by sync window"):
            world.wait()
        assert world.app.live == OLD
        assert not issubclass(NotSynced, RolloutFailed)


class TestItIsSaidAtOnce:
    """What no waiting changes."""

    def test_a_closed_window_does_not_matter_where_nothing_is_to_sync(self, world: World) -> None:
        world.app.window_closed = True
        assert world.wait(OLD).status == "healthy"

    def test_there_is_no_application(self, world: World) -> None:
        with pytest.raises(NotFound):
            world.wait(name="flowise-x", project="default")
        with pytest.raises(AccessDenied, match="permission denied"):
            world.wait(name="flowise-x")
        assert len(world.argo.calls) == 2

    def test_the_token_is_wrong_or_expires(self, world: World) -> None:
        world.push(PUSHED)
        with pytest.raises(AccessDenied):
            world.wait(token="hunter2")
        step, calls = world.app.step, world.argo.calls

        def expiring() -> None:
            step()
            if len(calls) == 4:
                world.argo.failures.append(error(UNAUTHENTICATED, "invalid session: token has expired"))

        world.app.step = expiring
        with pytest.raises(AccessDenied, match="has expired"):
            world.wait()
        assert len(calls) == 5

    def test_the_token_may_only_look(self, world: World) -> None:
        world.push(PUSHED)
        world.app.auto_sync = False
        world.argo.refusals.append(error(DENIED, "permission denied: applications, sync, default/flowise-dev"))
        with pytest.raises(AccessDenied, match="applications, sync"):
            world.wait()


def test_what_is_not_ready_is_said_once_until_it_changes(world: World) -> None:
    world.push(PUSHED)
    half, most = ("Progressing", "1 of 3 updated"), ("Progressing", "2 of 3 updated")
    world.app.after_sync = [half, half, half, most, most, half, HEALTHY]
    world.wait()
    said = [line for line in world.heard if "Deployment" in line and "updated" in line]
    line = f"{NAME}: Deployment flowise-server is Progressing: "
    assert said == [f"{line}{each}" for each in ("1 of 3 updated", "2 of 3 updated", "1 of 3 updated")]


def test_it_follows_a_real_repository(gitops: Path, tmp_path: Path) -> None:
    """The overlay's own images; git says what a descendant is."""
    app = follow(gitops, "dev")
    path = f"{APP}/overlays/dev/kustomization.yaml"
    pinned = repositories.show(gitops, "main", path).replace("newTag: latest", f"digest: {DIGESTS[PUSHED]}", 1)
    pushed = repositories.commit(gitops, "main", {path: pinned}, "chore(dev): update flowise images to t")
    newest = repositories.commit(gitops, "main", {"README.md": "more\n"}, "docs: more")

    entry = ImageRef("flowise-server", "registry.example.com/flowise-server", digest=DIGESTS[PUSHED])
    history = GitOpsHistory(
        GitOps(Remote(str(gitops)), "main", f"{APP}/overlays", tmp_path), pushed, "dev", [entry], 20
    )
    with sandbox.argocd(app) as argo, ExitStack() as stack:
        client = ArgoCD(argo.url, SecretStr(argo.token))
        stack.callback(client.close)
        rollout = wait_for_rollout(
            client, app.name, Goal(pushed, [entry], history), Patience(300, 5, 60), lambda _: None
        )
    assert rollout.revision == newest
    assert any(image.endswith(f"/flowise-server@{DIGESTS[PUSHED]}") for image in rollout.images)


class TestArgoCDAsItMayBe:
    """What a real Argo CD has done to somebody."""

    def test_a_failed_sync_is_reported_at_its_first_try_and_refuted_at_the_last(self, world: World) -> None:
        world.push(PUSHED)
        world.app.outcome, world.app.message, world.app.retries = "Failed", "field is immutable", 2
        with pytest.raises(RolloutFailed, match="field is immutable"):
            world.wait()
        first, second = (next(n for n, line in enumerate(world.heard) if f"attempt #{at}" in line) for at in (1, 2))
        assert first < second
        assert not {"sync", "end"} & set(world.argo.calls)

    def test_it_does_not_wait_behind_the_retries_of_an_older_commit(self, world: World) -> None:
        world.app.outcome, world.app.message, world.app.retries = "Failed", "field is immutable", 5
        world.push(PUSHED)
        world.app.begin(OLD)
        for _ in range(5):
            world.app.step()
        world.app.outcome = "Succeeded"
        world.app._reconcile()
        assert world.wait().revision == PUSHED
        assert world.argo.calls.count("end") == 1
        assert any(
            f"ended the operation that Argo CD retried for the older commit {OLD[:7]}" in line for line in world.heard
        )

    def test_an_operation_of_a_commit_of_elsewhere_is_not_ended(self, world: World) -> None:
        world.app.images = lambda revision: [f"acme/ui@{DIGESTS.get(revision, DIGESTS[OLD])}"]
        world.app.outcome, world.app.message, world.app.retries = "Failed", "field is immutable", 5
        world.push(PUSHED)
        world.app.begin("9" * 40)
        with pytest.raises(Inconclusive, match="an operation is in progress: Running"):
            world.wait(timeout=100)
        assert "end" not in world.argo.calls

    def test_why_it_hangs_is_said_by_its_pods(self, world: World) -> None:
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING]
        world.app.pod = ("Init:ErrImagePull", 'Back-off pulling image "acme/ui"')
        with pytest.raises(Inconclusive, match='Pod pod-0 is Init:ErrImagePull: Back-off pulling image "acme/ui"'):
            world.wait()

    def test_pods_that_do_not_start_count_where_that_is_wanted(self, world: World, clock: Clock) -> None:
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING]
        world.app.pod = ("CrashLoopBackOff", "back-off restarting failed container")
        with pytest.raises(RolloutFailed, match=f"No pod of {NAME} starts at {PUSHED}: .*CrashLoopBackOff"):
            world.wait(pods_degraded=120)
        assert 120 <= clock.now < 180

    def test_what_is_left_over_is_named_and_no_reason_to_fail(self, world: World) -> None:
        world.app.prune, world.app.left_over = False, True
        world.push(PUSHED)
        assert world.wait().status == "healthy"
        assert (
            f"{NAME}: ConfigMap old is OutOfSync (left over; pruning is off), which is no reason to fail" in world.heard
        )

    def test_a_hydrator_writes_commits_of_its_own(self, world: World) -> None:
        world.app.hydrated = True
        world.app.__post_init__()
        world.push(PUSHED)
        rollout = world.wait()
        assert (rollout.revision, world.app.live) == (PUSHED, PUSHED)

    def test_one_source_of_several_is_the_repository(self, world: World) -> None:
        world.app.sources = ("1.2.3", "8" * 40)
        world.app._reconcile()
        world.push(PUSHED)
        assert world.wait().revision == PUSHED

    def test_automatic_sync_that_is_not_enabled_is_off(self, world: World) -> None:
        answer = world.app.answer
        world.app.auto_sync = False
        off = {"syncPolicy": {"automated": {"enabled": False, "prune": True}}}
        world.app.answer = lambda: {**answer(), "spec": off}
        world.push(PUSHED)
        assert world.wait().revision == PUSHED
        assert world.argo.syncs == [{"name": NAME, "prune": True}]

    def test_an_application_in_another_namespace(self, world: World) -> None:
        world.app.namespace, world.app.auto_sync = "team-apps", False
        world.push(PUSHED)
        assert world.wait(namespace="team-apps").revision == PUSHED
        assert world.argo.syncs == [{"name": NAME, "prune": False, "appNamespace": "team-apps"}]
        with pytest.raises(AccessDenied, match="permission denied"):
            world.wait()

    def test_it_is_deleted_while_it_is_waited_for(self, world: World) -> None:
        world.push(PUSHED)
        world.app.after_sync = [PROGRESSING] * 1000
        step, calls = world.app.step, world.argo.calls

        def deleted() -> None:
            step()
            world.app.deleted = len(calls) > 6
            if len(calls) > 9:
                world.argo.applications.clear()

        world.app.step = deleted
        with pytest.raises(Inconclusive, match=r"was there, and is not any more.*not found") as caught:
            world.wait(project="default")
        assert "Nothing was undone" in caught.value.hint
        assert f"{NAME}: the application is being deleted" in world.heard

    def test_a_busy_server_names_the_pause(self, world: World, clock: Clock) -> None:
        world.push(PUSHED)
        world.argo.failures.append(JSONResponse({"code": 8, "message": "slow down"}, 429, {"Retry-After": "40"}))
        assert world.wait(refresh_timeout=15).revision == PUSHED
        assert clock.now >= 40
        assert len(world.argo.calls) < 10

    def test_who_may_not_sync_may_still_see_automatic_sync_do_it(self, world: World) -> None:
        world.push(PUSHED)
        world.app.window_closed = True  # automatic sync is late
        world.argo.refusals += [error(DENIED, "permission denied: applications, sync, default/flowise-dev")] * 9
        step, calls = world.app.step, world.argo.calls

        def opened() -> None:
            step()
            world.app.window_closed = len(calls) < 12
            world.app.refresh_asked = not world.app.operation and world.app.live == OLD

        world.app.step = opened
        assert world.wait().revision == PUSHED
        assert calls.count("sync") == 1


def answered(world: World, change: Callable[[dict[str, object]], None]) -> None:
    """Change each of the stand-in's answers, from now on."""
    answer = world.app.answer

    def changed() -> dict[str, object]:
        app = answer()
        change(app)
        return app

    world.app.answer = changed


class TestWhatElseASyncHas:
    """Hooks after it, other kinds of workloads, other tokens, other hands."""

    @pytest.mark.parametrize(("hook", "phase"), [("PostSync", "Failed"), ("PostSync", "Error")])
    def test_a_hook_after_the_sync_fails(self, world: World, hook: str, phase: str) -> None:
        """Argo CD counts the operation as failed then, though everything was applied."""
        world.push(PUSHED)
        world.app.outcome, world.app.message = "Failed", "one or more synchronization tasks completed unsuccessfully"
        applied = {"kind": "Deployment", "name": "flowise-server", "status": "Synced", "hookPhase": "Running"}
        smoke = {"kind": "Job", "name": "smoke", "hookType": hook, "hookPhase": phase, "message": "backoff limit"}
        answered(world, lambda app: results(app, [applied, smoke]))
        with pytest.raises(RolloutFailed, match=f"{hook} hook Job smoke is {phase}: backoff limit"):
            world.wait()

    def test_a_hook_after_a_failed_sync_is_named_and_decides_nothing(self, world: World) -> None:
        """A SyncFail hook that worked has cleaned up; what failed is what made it run."""
        world.push(PUSHED)
        world.app.outcome, world.app.message = "Failed", "one or more objects failed to apply"
        broken = {"kind": "Deployment", "name": "flowise-server", "status": "SyncFailed", "message": "immutable"}
        tidied = {"kind": "Job", "name": "tidy", "hookType": "SyncFail", "hookPhase": "Succeeded"}
        answered(world, lambda app: results(app, [broken, tidied]))
        with pytest.raises(RolloutFailed, match="Deployment flowise-server is SyncFailed: immutable") as caught:
            world.wait()
        assert "tidy" not in caught.value.message

    def test_a_hook_that_still_runs_is_waited_for(self, world: World, clock: Clock) -> None:
        """The pods are there and healthy; the smoke test that decides is not over."""
        world.push(PUSHED)
        world.app.operation_steps = 12
        smoke = {"kind": "Job", "name": "smoke", "hookType": "PostSync", "hookPhase": "Running"}
        answered(world, lambda app: results(app, [smoke]))
        assert world.wait().revision == PUSHED
        assert clock.now >= 50
        assert any("an operation is in progress: Running" in line for line in world.heard)

    def test_a_hook_that_failed_long_ago_is_not_ours(self, world: World) -> None:
        world.push(PUSHED)
        old = {"kind": "Job", "name": "smoke", "hook": True, "health": {"status": "Degraded", "message": "in May"}}
        answered(world, lambda app: app["status"]["resources"].append(old))
        assert world.wait().status == "healthy"
        assert not any("smoke" in line for line in world.heard)

    def test_a_stateful_set_is_waited_for_and_refuted_like_a_deployment(self, world: World) -> None:
        world.app.kind = "StatefulSet"
        world.push(PUSHED)
        world.app.after_sync = [("Progressing", "Waiting for 1 pods to be ready..."), HEALTHY]
        assert world.wait().status == "healthy"
        assert f"{NAME}: StatefulSet flowise-server is Progressing: Waiting for 1 pods to be ready..." in world.heard
        world.push(LATER)
        world.app.after_sync = [PROGRESSING, ("Degraded", "pod flowise-server-0 crashes")]
        with pytest.raises(RolloutFailed, match="StatefulSet flowise-server is Degraded: pod flowise-server-0 crashes"):
            world.wait(LATER)

    def test_a_stateful_set_that_differs_is_no_left_over(self, world: World) -> None:
        world.app.kind = "StatefulSet"
        world.push(PUSHED)
        differs = {"kind": "StatefulSet", "name": "flowise-server", "status": "OutOfSync"}
        answered(world, lambda app: drift(app, differs))
        with pytest.raises(Inconclusive, match="it is OutOfSync: StatefulSet flowise-server"):
            world.wait()

    def test_what_another_controller_writes_is_named_and_no_reason_to_fail(self, world: World) -> None:
        """A HorizontalPodAutoscaler's own object, or a webhook's certificate bundle, is never as the commit has it."""
        world.push(PUSHED)
        written = {"kind": "HorizontalPodAutoscaler", "name": "flowise-server", "status": "OutOfSync"}
        answered(world, lambda app: drift(app, written))
        assert world.wait().status == "healthy"
        assert any(
            "HorizontalPodAutoscaler flowise-server is OutOfSync" in line and "no reason to fail" in line
            for line in world.heard
        )
        assert not world.argo.syncs, "which would change nothing"

    def test_an_autoscaler_s_replicas_in_the_workload_are_not_taken_for_a_rollout(self, world: World) -> None:
        """The manifest sets replicas, the autoscaler others: nobody can tell that from a stale cache, so: unknown."""
        world.push(PUSHED)
        scaled = {"kind": "Deployment", "name": "flowise-server", "status": "OutOfSync"}
        answered(world, lambda app: drift(app, scaled))
        with pytest.raises(Inconclusive, match="it is OutOfSync: Deployment flowise-server") as caught:
            world.wait()
        assert "Nothing was undone" in caught.value.hint

    def test_a_project_role_s_token_syncs_like_an_account_s(self, argo: sandbox.ArgoCD, world: World) -> None:
        """It may be good for its own project alone, which then has to be named."""
        world.app.project, world.app.auto_sync = "flowise", False
        world.push(PUSHED)
        assert world.wait(project="flowise").revision == PUSHED
        assert world.argo.syncs == [{"name": NAME, "prune": False, "project": "flowise"}]

    def test_a_project_role_that_may_not_sync_is_named_with_what_it_may_not(self, world: World) -> None:
        world.app.project, world.app.auto_sync = "flowise", False
        world.push(PUSHED)
        said = "permission denied: applications, sync, flowise/flowise-dev, sub: proj:flowise:ci, iat: 2026-11-25"
        world.argo.refusals.append(error(DENIED, said))
        with pytest.raises(AccessDenied) as caught:
            world.wait(project="flowise")
        assert said in caught.value.message


def results(app: dict[str, object], resources: list[dict[str, object]]) -> None:
    """Give the commit's own operation these results."""
    state = app["status"].get("operationState", {})
    if state.get("operation", {}).get("sync", {}).get("revision") == PUSHED:
        app["status"]["operationState"] = {**state, "syncResult": {"revision": PUSHED, "resources": resources}}


def drift(app: dict[str, object], resource: dict[str, object]) -> None:
    """Have a resource differ from each commit, whatever is synced."""
    named = [each for each in app["status"]["resources"] if each["kind"] != resource["kind"]]
    app["status"] = {
        **app["status"],
        "resources": [*named, resource],
        "sync": {**app["status"]["sync"], "status": "OutOfSync"},
    }
