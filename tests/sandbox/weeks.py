"""Three weeks of a team's work in both repositories, for the board's pictures: the board reads it from git, as ever."""

from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from tasks.core.gitops.commit_message import MessageStyle, message
from tasks.core.kustomization import set_images
from tasks.core.models import Approval, ImageRef, ImageUpdate, Origin
from tests.sandbox.gitops_files import APP
from tests.sandbox.repositories import commit, show

BOT = "github-actions[bot] <github-actions[bot]@users.noreply.github.com>"

WORK = (
    (20.1, "Minh", "feat(server): stream answers token by token"),
    (18.2, "Lan", "fix(ui): keep the canvas's zoom when a node is added"),
    (16.0, "Robin", "feat(components): read documents from S3"),
    (13.9, "Minh", "perf(server): reuse the database's connections"),
    (11.7, "Lan", "feat(ui): dark theme for the marketplace"),
    (9.6, "Robin", "fix(components): retry a vector store that is busy"),
    (7.1, "Minh", "feat(server): export a flow's history"),
    (4.8, "Lan", "fix(ui): show long prompts in full"),
    (2.9, "Robin", "feat(components): an agent that asks before it acts"),
    (1.2, "Minh", "fix(server): close streams that nobody reads"),
    (0.2, "Lan", "feat(ui): search in all flows"),
)
"""Source commits: days ago, who, and what. Each is in dev half an hour later."""

PROMOTED = (
    (17.1, "staging", 1, "Lan"),
    (15.2, "production", 1, "Robin"),
    (12.8, "staging", 3, "Minh"),
    (8.7, "staging", 5, "Robin"),
    (6.2, "production", 5, "Lan"),
    (6.1, "production", 1, "Minh"),  # takes the one before back
    (4.0, "staging", 7, "Lan"),
    (2.2, "production", 7, "Robin"),
    (0.9, "staging", 9, "Minh"),
)
"""Promotions: days ago, where to, the number of the source commit, and who."""


def three_weeks(source: Path, gitops: Path, now: datetime) -> list[str]:
    """Write the work and its deployments until now; return the source commits."""
    shas = [_work(source, who, what, now - timedelta(days=days)) for days, who, what in WORK]
    delivered = [(days - 0.02, "dev", number, who) for number, (days, who, _) in enumerate(WORK)]
    commits = dict[tuple[str, int], str]()
    for days, environment, number, who in sorted((*delivered, *PROMOTED), reverse=True):
        if environment != "dev":
            before = "staging" if environment == "production" else "dev"
            origin = Origin(images=(), promoted_from=f"{before} {commits[before, number]}")
        back = (environment, number) in commits
        if back:
            bad, good = commits[environment, 5], commits[environment, number]
            origin = Origin(images=(), restores=good, rolls_back=bad, reason="answers are slow")
        update = _update(environment, shas[number], who)
        approval = Approval(by="Kim (single sign-on)") if environment == "production" and not back else None
        text = message(update, approval, origin if environment != "dev" else None, MessageStyle())
        at = int((now - timedelta(days=days)).timestamp())
        commits[environment, number] = _deploy(gitops, update, text, at)
    return shas


def _work(source: Path, who: str, what: str, at: datetime) -> str:
    files = {"packages/server/src/index.ts": f"// {what}\n", "packages/ui/src/index.tsx": f"// {what}\n"}
    return commit(source, "main", files, what, by=(f"{who} <{who.lower()}@example.com>", int(at.timestamp())))


def _update(environment: str, sha: str, actor: str) -> ImageUpdate:
    server, ui = (f"sha256:{sha256(f'{image} {sha}'.encode()).hexdigest()}" for image in ("server", "ui"))
    return ImageUpdate.parse(
        environment=environment,
        tag=sha[:7],
        sha=sha,
        server_digest=server,
        ui_digest=ui,
        actor=actor,
        workflow_run_id=f"{sha[:8]}-{sha[8:12]}-{sha[12:16]}-{sha[16:20]}-{sha[20:32]}",
    )


def _deploy(gitops: Path, update: ImageUpdate, text: str, at: int) -> str:
    path = f"{APP}/overlays/{update.environment}/kustomization.yaml"
    images = [
        ImageRef(f"flowise-{image}", f"registry.example.com/flowise-{image}", digest=digest)
        for image, digest in update.digests.items()
    ]
    return commit(gitops, "main", {path: set_images(show(gitops, "main", path), images)}, text, by=(BOT, at))
