"""What an operator is shown before an environment changes, and what is made of the answer."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tasks.core import git, report
from tasks.core.errors import DeliveryError, Rejected
from tasks.core.models import LINE, Approval, ImageChange, ImageUpdate, UpdateResult
from tasks.core.scratch import scratch

SHOWN = 20
"""Source commits that are shown, the newest ones."""

WIDTH = 100
"""Characters of a commit's subject that are shown."""


def fingerprint(update: ImageUpdate, planned: UpdateResult) -> str:
    """The same text for the same changes: what was approved under it is what may be written."""
    parts = (update.environment, update.tag, update.sha, *(change.model_dump_json() for change in planned.changes))
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def request(update: ImageUpdate, planned: UpdateResult, source: git.Remote | None, work_dir: Path) -> str:
    """What would change, as Markdown: images from old to new, and the source commits in between.

    Args:
        update: what is to be written.
        planned: what that would change.
        source: the source repository, where it is known here.
        work_dir: where its commits may be fetched to meanwhile.
    """
    return (
        f"# {update.environment}: {update.tag}\n\n"
        f"Asked for by {report.literal(update.actor or 'nobody in particular')}. "
        "**Approve** switched on has this written; off, it is rejected.\n\n"
        f"{_images(planned.changes)}\n\n"
        f"## Source commits\n\n{_commits(update.sha or '', planned.replaces, source, work_dir)}\n"
    )


def decision(planned: UpdateResult, approve: bool, approver: str, note: str) -> Approval:
    """The operator's answer; name and note become one printable line each.

    Raises:
        Rejected: the answer is no, or nobody's.
    """
    by, words = one_line(approver), one_line(note)
    if not by:
        raise Rejected(f"{planned.tag} is not approved for {planned.environment}: the answer names nobody.", AGAIN)
    if not approve:
        said = f"{planned.tag} is rejected for {planned.environment} by {by}{f': {words}' if words else ''}"
        raise Rejected(said.rstrip(".") + ". Nothing was written.", AGAIN)
    return Approval(by=by, note=words, changes=tuple(planned.changes))


def expired(planned: UpdateResult, seconds: int) -> Rejected:
    """The error for an answer that did not come."""
    return Rejected(
        f"{planned.tag} is rejected for {planned.environment}: nobody approved it within {seconds} seconds. "
        "Nothing was written.",
        AGAIN,
    )


AGAIN = "Start a new run to ask again."


def one_line(text: str, limit: int = LINE) -> str:
    """A text that came from outside as one printable line: it can neither begin another one nor hide itself."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:limit]


def _images(changes: Sequence[ImageChange]) -> str:
    # A list: the dialog is too narrow for a table.
    rows = (
        f"- `{each.new.name}`\n    - from {report.short(each.old)}\n    - to {report.short(each.new)}"
        for each in changes
    )
    return "\n".join(rows)


def _commits(new: str, old: str, source: git.Remote | None, work_dir: Path) -> str:
    if not (source and git.FULL_SHA.fullmatch(new) and git.FULL_SHA.fullmatch(old)):
        return f"From {report.literal(old or 'unknown')} to {report.literal(new or 'unknown')}; not looked up."
    try:
        with scratch(work_dir) as folder:
            lines = _between(source, old, new, folder / "source.git")
    except DeliveryError as error:  # an approval must not depend on the source repository being there
        return f"From `{old}` to `{new}`; they cannot be asked for: {report.literal(one_line(error.message))}"
    if not lines:
        return f"None: it is `{new}` already."
    more = f"\nOnly the newest {SHOWN} are shown.\n" if len(lines) > SHOWN else ""
    # Every line begins with a sign, so that no subject ends the fence. In a diff, what goes away is red.
    return "```diff\n" + "\n".join(lines[:SHOWN]) + f"\n```\n{more}"


def _between(source: git.Remote, old: str, new: str, folder: Path) -> list[str]:
    """The commits of one side only, newest first: ``+`` comes, ``-`` goes away."""
    git.init(folder, source)
    # The whole history, but commits alone: a shallow one has commits that only seem to be new.
    git.run(source, "fetch", "-q", "--no-tags", "--filter=tree:0", "origin", new, old, directory=folder)
    show = ("log", "--left-right", f"--max-count={SHOWN + 1}", "--format=%m%x00%H%x00%s")
    rows = (row.split("\0") for row in git.run(source, *show, f"{old}...{new}", directory=folder).splitlines())
    return [f"{'+' if side == '>' else '-'} {sha[:7]} {one_line(subject, WIDTH)}" for side, sha, subject in rows]
