"""A deployment's commit message: written and read here alone, and reused for pull requests.

It begins as those of the user's workflow do; commits that workflow made are read as well.
"""

import re
from collections.abc import Mapping
from typing import Any

from tasks.core.models import ENVIRONMENTS, IMAGES, SHA_PATTERN, Approval, ImageUpdate, Origin, Value
from tasks.core.names import DEFAULT
from tasks.core.text import LONGEST, one_line

LINES = {
    "Triggered by": "actor",
    "Source SHA": "sha",
    "Tag": "tag",
    "Approved by": "approved_by",
    "Approval note": "approval_note",
}
"""The lines for people, each with its field of a deployment; the user's workflow wrote the first three."""

DIGESTS = {f"{label}-Digest": image for image, label in IMAGES.items()}
"""The trailers with the images' digests, each with its image."""

TRAILERS = {
    "Run": "run",
    "Promoted-From": "promoted_from",
    "Restores": "restores",
    "Rolls-Back": "rolls_back",
    "Reason": "reason",
}
"""The last paragraph, for programs (git-interpret-trailers(1))."""

FIELDS = LINES | TRAILERS

_WORDS = rf'chore\(({"|".join(ENVIRONMENTS)})\): update ([a-z][a-z0-9-]*) images to ([^\s"]+)'

# A prefix may stand before it, and a bullet where commits were squashed; a quotation is a revert's.
SUBJECT = re.compile(rf'^[^"“”\n]*\b{_WORDS}', re.MULTILINE)

REVERT = re.compile(rf'^[^"“”\n]*\bRevert "[^"“”\n]*\b{_WORDS}', re.MULTILINE)
"""What git revert, and GitHub's button of that name, make of a subject."""

SHA_IN_TAG = re.compile(r"(?:^|-)([0-9a-f]{40}|[0-9a-f]{7})$")
"""The source commit that the default tags end in; the lines that name it may be lost when people squash."""

TRAILER = re.compile(r"[A-Za-z][A-Za-z-]*: \S.*")


class MessageStyle(Value):
    """What an installation adds: ``prefix`` before the subject, ``lines`` as trailers or a paragraph of their own."""

    application: str = DEFAULT
    prefix: str = ""
    lines: tuple[str, ...] = ()


def subject(update: ImageUpdate, style: MessageStyle, origin: Origin | None = None) -> str:
    """Return the first line, which is a pull request's title as well; it says if nothing was built for the update."""
    line = f"chore({update.environment}): update {style.application} images to {update.tag}{_kind(origin)}"
    return f"{style.prefix.strip()} {line}" if style.prefix.strip() else line


def _kind(origin: Origin | None) -> str:
    if origin and origin.restores:
        return " (rollback)"
    return f" (promoted from {origin.promoted_from.split(' ')[0]})" if origin and origin.promoted_from else ""


def body(update: ImageUpdate, approval: Approval | None, origin: Origin | None, style: MessageStyle) -> str:
    """Return the paragraphs below the subject; a line without a value is left out."""
    values: dict[str, str | None] = update.model_dump() | {"run": update.workflow_run_id}
    if approval:
        values |= {"approved_by": approval.by, "approval_note": approval.note}
    if origin:
        values |= origin.model_dump(exclude={"images"})
    trailers = _written(DIGESTS, update.digests) + _written(TRAILERS, values)
    added = list(style.lines)
    if all(TRAILER.fullmatch(line) for line in added):
        trailers, added = trailers + added, []
    paragraphs = (_written(LINES, values), added, trailers)
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)


def message(update: ImageUpdate, approval: Approval | None, origin: Origin | None, style: MessageStyle) -> str:
    """Return the commit message of an update."""
    return f"{subject(update, style, origin)}\n\n{body(update, approval, origin, style)}\n"


def parse(text: str, application: str = DEFAULT) -> dict[str, Any] | None:
    """Read a message, also one that was squashed or merged, into a deployment's fields; ``None`` for others'."""
    found = next((each for each in SUBJECT.finditer(text) if each[2] == application), None)
    if not found:
        return None
    pairs = [line.partition(": ") for line in text[found.end() :].split("\n")]
    known = {FIELDS[name]: one_line(value, LONGEST) for name, _, value in pairs if name in FIELDS and value.strip()}
    digests = {DIGESTS[name]: value.strip() for name, _, value in pairs if name in DIGESTS}
    if not re.fullmatch(SHA_PATTERN, known.get("sha", "")):
        known.pop("sha", None)  # git is asked for it, so it must not be an option
        if in_tag := SHA_IN_TAG.search(found[3]):
            known["sha"] = in_tag[1]
    return {"environment": found[1], "tag": found[3], "digests": digests} | known


def reverted(text: str, application: str = DEFAULT) -> tuple[str, str] | None:
    """Return the environment and the tag of the deployment that a message says git reverted; ``None`` for others'."""
    found = next((each for each in REVERT.finditer(text) if each[2] == application), None)
    return (found[1], found[3]) if found else None


def _written(names: Mapping[str, str], values: Mapping[str, str | None]) -> list[str]:
    return [f"{name}: {values[field]}" for name, field in names.items() if values.get(field)]
