"""The runbooks' commands, as they are written, one after the other, against a server and a worker."""

import re
import shlex

from flows import update_flowise_deployment
from tests.flows.conftest import PROJECT, Installation
from tests.sandbox.repositories import log, show

DEV, STAGING = (f"argocd/apps/flowise/overlays/{name}/kustomization.yaml" for name in ("dev", "staging"))
TWO = "sha256:" + "2" * 64


def commands(page: str) -> list[list[str]]:
    """What the page has of Prefect's command line."""
    text = (PROJECT / page).read_text()
    return [shlex.split(line, comments=True) for line in re.findall(r"^prefect deployment run .*$", text, re.MULTILINE)]


def without_reason(command: list[str]) -> list[str]:
    return [part for part in command if not part.startswith("reason=")]


def test_every_command_works_as_written(served: Installation) -> None:
    """The pages differ in the reason alone, and the Vietnamese one is tried: it is the harder one to hand on."""
    english, vietnamese = (commands(page) for page in ("docs/runbooks.md", "docs/vi/runbooks.md"))
    assert [without_reason(each) for each in english] == [without_reason(each) for each in vietnamese]
    names = ("flowise-server", "flowise-ui")
    server, ui = (served.images.push(name, "v1", "the first") for name in names)
    update_flowise_deployment("dev", "v1", server_digest=server, ui_digest=ui)
    update_flowise_deployment("dev", "v2", server_digest=TWO, ui_digest=TWO)
    count = len(log(served.gitops))
    state, planned, back, onward = vietnamese
    for command in (state, planned, back, onward):
        done = served.run("-m", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("DryRun" if command == planned else "Completed") in done.stdout
        if command == planned:
            assert len(log(served.gitops)) == count
    for overlay in (DEV, STAGING):
        assert server in show(served.gitops, "main", overlay)
        assert ui in show(served.gitops, "main", overlay)
    newest, restored = log(served.gitops)[:2]
    assert newest["subject"] == "chore(staging): update flowise images to v1 (promoted from dev)"
    (reason,) = (each for each in back if each.startswith("reason="))
    assert reason.replace("reason=", "Reason: ") in restored["body"].splitlines()
    assert "reason=it is slow" in english[2]
    assert len(log(served.gitops)) == count + 2
