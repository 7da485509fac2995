"""Proposals on branches of their own, and what people do there meanwhile."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.errors import Conflict, LostRace
from tasks.core.git.branch import Branch
from tasks.core.gitops.repository import GitOps
from tasks.core.gitops.writer import write
from tasks.core.models import ImageUpdate, UpdateResult
from tests.sandbox.github import github
from tests.sandbox.repositories import commit, head, log, show
from tests.sandbox.repositories import git as run_git

DEV = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
BRANCH = "flowise/dev"


@pytest.fixture
def repository(gitops: Path, tmp_path: Path) -> GitOps:
    return GitOps(
        git.Remote(str(gitops)), "main", "argocd/apps/flowise/overlays", tmp_path, propose=True, under_review=True
    )


def put(repository: GitOps, tag: str, lines: list[str] | None = None) -> UpdateResult:
    log_line = lines.append if lines is not None else lambda _: None
    result = write(repository, ImageUpdate(environment="dev", tag=tag), "r.example", log_line)
    assert result.proposed
    return result


def test_a_newer_proposal_takes_the_place_of_the_bots_own(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1")
    result = put(repository, "v2")
    assert head(gitops, BRANCH) == result.commit
    assert next(each["subject"][-2:] for each in log(gitops, BRANCH)) == "v2"
    assert len(log(gitops, BRANCH)) == len(log(gitops)) + 1, "v1 is gone"


def test_an_older_commit_does_not_take_the_place_of_a_newer_proposal(
    repository: GitOps, gitops: Path, source: Path
) -> None:
    """Two pushes, whose events come in the other order: people would merge the older one."""
    old, new = (run_git(source, "rev-parse", ref).decode().strip() for ref in ("v1.0.0^{commit}", "main"))
    repository = replace(repository, source=git.Remote(str(source)))

    def propose(sha: str | None, tag: str, *, force: bool = False, under_review: bool = True) -> UpdateResult:
        place = replace(repository, under_review=under_review)
        return write(place, ImageUpdate(environment="dev", tag=tag, sha=sha), "r.example", lambda _: None, force=force)

    there = propose(new, "v2").commit
    assert propose(old, "v1").skipped.startswith(
        f"In the open pull request, dev has the newer source commit {new[:7]}: v1 would be a step back."
    )
    assert head(gitops, BRANCH) == there
    assert propose(new, "v2").commit == there
    assert propose(old, "v1", force=True).proposed
    assert propose(new, "v2").proposed
    assert propose(old, "v1", under_review=False).proposed, "what people closed is wanted no more"


def test_a_reviewers_commit_stays_while_people_look_at_it(repository: GitOps, gitops: Path) -> None:
    """
    ::

        main          A
                      \\
        flowise/dev    v1 ── three replicas ── v2
    """
    put(repository, "v1")
    replicas = show(gitops, BRANCH, DEV) + "replicas:\n- name: flowise\n  count: 3\n"
    theirs, lines = commit(gitops, BRANCH, {DEV: replicas}, "three of them"), list[str]()
    result = put(repository, "v2", lines)
    assert head(gitops, BRANCH) == result.commit
    assert [each["sha"] for each in log(gitops, BRANCH)][1] == theirs
    assert show(gitops, BRANCH, DEV) == replicas.replace("newTag: v1", "newTag: v2")
    assert any(theirs[:7] in line and "on top" in line for line in lines)
    assert put(repository, "v2").commit == result.commit, "it is there already"


def test_commits_of_a_closed_pull_request_are_put_aside_and_named(repository: GitOps, gitops: Path) -> None:
    put(repository, "v1")
    theirs, lines = commit(gitops, BRANCH, {"README.md": "notes\n"}, "notes"), list[str]()
    result = put(replace(repository, under_review=False), "v2", lines)
    assert log(gitops, BRANCH)[0]["sha"] == result.commit
    assert len(log(gitops, BRANCH)) == len(log(gitops)) + 1
    assert any("Put aside" in line and theirs[:7] in line for line in lines)


@pytest.mark.parametrize("over_http", [False, True])
def test_what_arrives_meanwhile_is_not_pushed_away(
    over_http: bool, repository: GitOps, gitops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose, lost = Branch.propose, list[str]()

    def slow(self: Branch, made: str, to: str, instead_of: str) -> None:
        if not lost:
            lost.append(commit(gitops, BRANCH, {"README.md": "notes\n"}, "notes"))
            with pytest.raises(LostRace):
                propose(self, made, to, instead_of)
            raise LostRace("Lost.")
        propose(self, made, to, instead_of)

    with github({"acme/devops": gitops}) as hub:
        if over_http:
            where = git.Remote(hub.clone_url("acme/devops"), SecretStr(hub.token))
            repository = replace(repository, where=where)
        put(repository, "v1")
        monkeypatch.setattr(Branch, "propose", slow)
        put(repository, "v2")
    assert lost[0] in [each["sha"] for each in log(gitops, BRANCH)]
    assert "newTag: v2" in show(gitops, BRANCH, DEV)


def test_a_branch_in_the_way_is_final(repository: GitOps, gitops: Path) -> None:
    run_git(gitops, "branch", "flowise", "main")
    with pytest.raises(Conflict, match="'refs/heads/flowise' exists"):
        put(repository, "v1")
