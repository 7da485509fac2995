"""What may replace a deployment, judged on real histories of the source and of the GitOps repository."""

import socket
import time
from pathlib import Path

import pytest

from tasks.core import git
from tasks.core.git.branch import Branch
from tasks.core.gitops.repository import GitOps
from tasks.core.gitops.rollback import Wanted, earlier
from tasks.core.gitops.writer import write
from tasks.core.models import ImageUpdate, UpdateResult
from tests.sandbox import repositories

DEV = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40
"""Source commits that no source repository has."""


@pytest.fixture
def repository(gitops: Path, tmp_path: Path) -> GitOps:
    """The overlays, without a source repository that could tell what is newer."""
    return GitOps(git.Remote(str(gitops)), "main", "argocd/apps/flowise/overlays", tmp_path / "work")


@pytest.fixture
def with_source(repository: GitOps, source: Path) -> GitOps:
    return GitOps(repository.where, "main", repository.overlays, repository.work_dir, git.Remote(str(source)))


def put(repository: GitOps, sha: str | None, **options: object) -> UpdateResult:
    update = ImageUpdate(environment="dev", tag=f"v-{(sha or 'none')[:7]}", sha=sha)
    return write(repository, update, "r.example", lambda _: None, **options)


def take_back(repository: GitOps) -> None:
    move = earlier(repository, "dev", Wanted(), actor="octocat", run="7")
    assert write(repository, move.update, "r.example", lambda _: None, origin=move.origin).changed


def others(gitops: Path, count: int) -> None:
    """Commits about something else."""
    for number in range(count):
        repositories.commit(gitops, "main", {"README.md": f"{number} of {count}\n"}, "docs")


def sha_of(source: Path, ref: str) -> str:
    return repositories.git(source, "rev-parse", f"{ref}^{{commit}}").decode().strip()


def test_all_that_was_rolled_back_step_by_step_stays_away(repository: GitOps) -> None:
    for sha in (ONE, TWO, THREE):
        assert put(repository, sha).changed
    take_back(repository)
    take_back(repository)
    for sha in (THREE, TWO):
        assert "was rolled back in dev" in put(repository, sha).skipped
    assert put(repository, THREE, force=True).changed


def test_what_was_deployed_long_before_it_was_rolled_back_stays_away(
    repository: GitOps, gitops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.core.gitops.ledger.DEPTH", 3)
    for sha in (ONE, TWO):
        assert put(repository, sha).changed
    others(gitops, 5)
    take_back(repository)
    assert "was rolled back in dev" in put(repository, TWO).skipped


def test_what_was_brought_back_by_force_may_come_again(repository: GitOps) -> None:
    for sha in (ONE, TWO):
        assert put(repository, sha).changed
    take_back(repository)
    assert put(repository, TWO, force=True).changed
    assert put(repository, TWO) == put(repository, TWO, dry_run=True), "there is nothing to change"


@pytest.mark.parametrize("between", [0, 5])
@pytest.mark.parametrize("since", [0, 5])
def test_without_the_source_history_decides_however_long_ago(
    between: int, since: int, repository: GitOps, gitops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.core.gitops.ledger.DEPTH", 3)
    monkeypatch.setattr("tasks.core.gitops.ledger.FAR", 8)
    assert put(repository, ONE).changed
    others(gitops, between)
    assert put(repository, TWO).changed
    others(gitops, since)
    assert "dev has the newer source commit 2222222" in put(repository, ONE).skipped
    assert put(repository, THREE).changed


@pytest.mark.parametrize("deployed", [7, 40])
@pytest.mark.parametrize("asked", [7, 40])
def test_an_abbreviated_commit_has_its_place_in_the_source(
    deployed: int, asked: int, with_source: GitOps, source: Path
) -> None:
    main, older = sha_of(source, "main"), sha_of(source, "v1.0.0")
    branched = sha_of(source, "feature/agents")
    assert put(with_source, main[:deployed]).changed
    assert "would be a step back" in put(with_source, older[:asked]).skipped
    assert put(with_source, branched[:asked]).changed


def test_the_source_is_asked_again_after_a_lost_race(
    with_source: GitOps, source: Path, gitops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put(with_source, sha_of(source, "v1.0.0")).changed
    push, pushes = Branch.push, []

    def late(self: Branch, commit: str) -> None:
        pushes.append(commit)
        if len(pushes) == 1:
            others(gitops, 1)
        push(self, commit)

    monkeypatch.setattr(Branch, "push", late)
    assert put(with_source, sha_of(source, "main")).changed
    assert len(pushes) == 2


def test_a_commit_that_the_source_does_not_know_is_judged_by_history(with_source: GitOps, source: Path) -> None:
    main = sha_of(source, "main")
    assert put(with_source, ONE).changed
    assert put(with_source, main).changed
    for sha in (ONE, ONE[:7]):
        assert "would be a step back" in put(with_source, sha).skipped
    assert put(with_source, TWO[:7]).changed


def test_commits_of_the_old_workflow_count(with_source: GitOps, source: Path, gitops: Path) -> None:
    main, older = sha_of(source, "main"), sha_of(source, "v1.0.0")
    text = repositories.show(gitops, "main", DEV).replace("latest", main[:7])
    message = f"chore(dev): update flowise images to {main[:7]}\n\nTriggered by: Ren\ufffd\nSource SHA: {main}\n"
    stream = b"commit refs/heads/main\ncommitter A <a@example.com> 1800000000 +0000\ndata %d\n%b\n"
    said = message.replace("\ufffd", "\udce9").encode(errors="surrogateescape")  # written in Latin-1
    stream = stream % (len(said), said) + f"from refs/heads/main^0\nM 100644 inline {DEV}\ndata <<END\n".encode()
    repositories.git(gitops, "fast-import", "--quiet", stdin=stream + text.encode() + b"END\n")
    assert f"dev has the newer source commit {main[:7]}" in put(with_source, older).skipped
    with Branch(with_source.where, "main", with_source.work_dir / "read.git") as branch:
        branch.fetch()
        newest = with_source.ledger(branch).newest("dev")[0]
        assert newest.actor == "Ren", "what isn't UTF-8 does no harm"


def test_a_source_that_never_answers_is_not_waited_for(
    with_source: GitOps, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.core.gitops.guard.SOURCE_SECONDS", 1.0)
    assert put(with_source, ONE).changed
    assert put(with_source, TWO).changed
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/source.git"
        deaf = GitOps(with_source.where, "main", with_source.overlays, with_source.work_dir, git.Remote(url))
        started = time.monotonic()
        assert "would be a step back" in put(deaf, ONE).skipped
        assert put(deaf, THREE).changed
        assert time.monotonic() - started < 20


def test_a_dry_run_says_what_would_be_skipped(with_source: GitOps, source: Path, gitops: Path) -> None:
    assert put(with_source, sha_of(source, "main")).changed
    head, older = repositories.head(gitops), sha_of(source, "v1.0.0")
    told = put(with_source, older, dry_run=True)
    assert "would be a step back" in told.skipped
    assert told == put(with_source, older)
    assert "+  newTag: v-" in put(with_source, older, dry_run=True, force=True).diff
    assert repositories.head(gitops) == head
