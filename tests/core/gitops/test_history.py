"""What later commits of a real GitOps repository are to a deployed one."""

import socket
import time
from pathlib import Path

import pytest

from tasks.core.errors import Unavailable
from tasks.core.git import Remote
from tasks.core.gitops.history import GitOpsHistory
from tasks.core.gitops.repository import GitOps
from tasks.core.models import ImageRef
from tests.sandbox.gitops_files import APP
from tests.sandbox.repositories import commit, git

DEV = f"{APP}/overlays/dev/kustomization.yaml"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGES = [ImageRef("flowise-server", "r.example/flowise-server", "ignored", DIGEST)]


def history(url: str, pushed: str, work_dir: Path, seconds: float = 20) -> GitOpsHistory:
    repository = GitOps(Remote(url), "main", f"{APP}/overlays", work_dir)
    return GitOpsHistory(repository, pushed, "dev", IMAGES, seconds)


def test_descendants_and_what_they_keep(gitops: Path, tmp_path: Path) -> None:
    before = git(gitops, "rev-parse", "main").decode().strip()
    entry = f"images:\n  - name: flowise-server\n    digest: {DIGEST}\n  - name: flowise-ui\n    newTag: v1\n"
    pushed = commit(gitops, "main", {DEV: entry}, "chore(dev): update flowise images to v1")
    same = commit(gitops, "main", {"README.md": "more\n"}, "docs: more")
    other = commit(gitops, "main", {DEV: entry.replace(DIGEST, OTHER)}, "by hand")
    gone = commit(gitops, "main", {DEV: None}, "no dev any more")
    asked = history(str(gitops), pushed, tmp_path)
    commits = (before, pushed, same, other, gone, "9" * 40)
    assert [asked.contains(each) for each in commits] == [False, True, True, True, True, False]
    assert [asked.keeps(each) for each in (pushed, same, other, gone)] == [True, True, False, False]


def test_git_that_hangs_gets_no_more_than_the_time_there_is(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/devops.git"
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            history(url, "1" * 40, tmp_path, 0.5).contains("2" * 40)
        assert time.monotonic() - begun < 10
