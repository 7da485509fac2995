"""What an operator is shown before an environment changes, and what is made of the answer."""

import hashlib
import hmac
import json
from pathlib import Path

from tasks.core import git
from tasks.core.errors import Rejected
from tasks.core.gitops import source_commits
from tasks.core.models import Approval, ImageUpdate, UpdateResult
from tasks.core.report import markdown, outcome
from tasks.core.text import LINE, code, literal, one_line

APPROVE, REJECT = "Approve", "Reject"
"""The two decisions."""

SIGNED_IN, TYPED = "single sign-on", "as typed"
"""How an approver's name is known; it stands behind the name."""

HOW = "Choose **Approve** or **Reject** below, type your name, and click Resume."


def fingerprint(update: ImageUpdate, planned: UpdateResult) -> str:
    """Return the same text for the same changes: what was approved under it is what may be written."""
    parts = (update.environment, update.tag, update.sha, *(change.model_dump_json() for change in planned.changes))
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def request(
    update: ImageUpdate,
    planned: UpdateResult,
    source: git.Remote | None,
    work_dir: Path,
    missing: str = "",
    how: str = HOW,
) -> str:
    """Say what would change, as Markdown: versions, source commits, images, and objects of the cluster.

    Args:
        update: what is to be written.
        planned: what that would change.
        source: the source repository, where it is known here.
        work_dir: where its commits may be fetched to meanwhile.
        missing: what an earlier answer lacked.
        how: says where and how to answer.
    """
    again = f"**Your answer is not complete.** {missing}\n\n" if missing else ""
    return (
        f"# {update.environment}: {update.tag}\n\n"
        f"{again}**{code(outcome.before(planned))} → {code(update.tag)}**\n\n"
        f"Asked for by {literal(update.actor or 'an unknown caller')}. {how}\n\n"
        f"{markdown.origin(planned)}"
        f"## Source commits\n\n{source_commits.markdown(planned.replaces, update.sha or '', source, work_dir)}\n\n"
        f"## Images\n\n{markdown.changes(planned.changes)}\n{markdown.effect(planned)}"
    )


def seal(secret: str, *parts: str) -> str:
    """Return what proves these parts to all who know the secret, and tells those who don't nothing about it."""
    key = hashlib.scrypt(secret.encode(), salt=b"flowise approval", n=2**14, r=8, p=1)
    return hmac.new(key, json.dumps(parts).encode(), "sha256").hexdigest()


def incomplete(decision: str, approver: str, elsewhere: str = "") -> str:
    """Say what an answer lacks; nothing if it is complete.

    Args:
        decision: Approve or Reject.
        approver: a name.
        elsewhere: where to approve, if this name was typed and that isn't enough.
    """
    lacks = [] if decision in (APPROVE, REJECT) else [f"Choose {APPROVE} or {REJECT} as your decision."]
    if not one_line(approver):
        lacks.append("Type your name as approver: it goes into the commit message.")
    if decision == APPROVE and elsewhere:
        lacks.append(f"Approve on {elsewhere}, where you are signed in: a typed name isn't enough.")
    return " ".join(lacks)


def decision(planned: UpdateResult, approve: bool, approver: str, note: str, *, signed_in: bool = False) -> Approval:
    """Return the operator's answer; name and note become one printable line each, and the name says how it is known.

    Raises:
        Rejected: the answer is no, or names no one.
    """
    name, words = one_line(approver, LINE - 20), one_line(note)
    if not name:
        raise Rejected(f"{planned.tag} is not approved for {planned.environment}: the answer has no name.", AGAIN)
    if not approve:
        said = f"{planned.tag} is rejected for {planned.environment} by {name}{f': {words}' if words else ''}"
        raise Rejected(said.rstrip(".") + ". Nothing was written.", AGAIN)
    by = f"{name} ({SIGNED_IN if signed_in else TYPED})"
    return Approval(by=by, note=words, changes=tuple(planned.changes))


def expired(planned: UpdateResult, seconds: int) -> Rejected:
    """Return the error for an answer that did not come."""
    return Rejected(
        f"{planned.tag} is rejected for {planned.environment}: no one approved it within {seconds} seconds. "
        "Nothing was written.",
        AGAIN,
    )


AGAIN = "Start a new run to ask again."
