"""Results as Markdown that a person likes to read."""

import re
from collections.abc import Sequence

from tasks.core.models import (
    BuiltImage,
    DeployPlan,
    DeployResult,
    ImageChange,
    ImageRef,
    ImageUpdate,
    ObjectChange,
    UpdateResult,
)
from tasks.core.report.overview import age, now
from tasks.core.text import code, fenced, literal

WHOLE_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


def deployed(result: DeployResult) -> str:
    """Return the first flow's summary: the images, and how the second flow was told."""
    rows = "\n".join(_image_rows(image) for image in result.images)
    then = updated(result.update) if result.update else _sent(result)
    return (
        f"# {result.environment}: {result.tag}\n\nSource commit `{result.sha}`\n\n| images |\n| --- |\n{rows}\n\n{then}"
    )


def planned(plan: DeployPlan) -> str:
    """Return what a delivery would do: which images it would build and why, and what it would replace."""
    rows = "".join(
        f"- {code(each.repository)} would be {'used again' if each.digest else '**built**'}: {literal(each.why)}\n"
        + (f"\n    {halves(each.digest)}\n" if each.digest else "")
        for each in plan.images
    )
    update = plan.update
    then = f"Skipped: {literal(update.skipped)}\n" if update.skipped else changes(update.changes) or "Nothing.\n"
    return (
        f"# Dry run: {plan.environment}, {plan.tag}\n\n"
        f"Nothing was built, pushed or sent. Source commit `{plan.sha}`\n\n"
        f"## Images\n\n{rows}\n## What would change in {literal(update.overlay_path)}\n\n{then}\n{effect(update)}"
    )


def updated(result: UpdateResult) -> str:
    """Return the second flow's summary: which images changed in the overlay, and the commit that holds it."""
    if result.skipped:
        return f"## Skipped\n\n{literal(result.skipped)}\n"
    if not result.diff:
        return (
            f"## Nothing to commit\n\n{code(result.overlay_path)} already says so, at commit `{result.commit}`.\n\n"
            f"{_rollout(result)}{effect(result)}"
        )
    return (
        f"## {literal(result.overlay_path)}\n\n"
        f"{_where(result)} `{result.commit}`\n\n"
        f"{origin(result)}{_approval(result)}{changes(result.changes)}\n{effect(result)}{_rollout(result)}"
        f"{fenced(result.diff)}"
    )


def proposed(update: ImageUpdate, result: UpdateResult, commits: str, record: str) -> str:
    """Write a pull request's text: who asks, what changes, the source commits in between, the deployment's record.

    The record is a commit message's: a server may make this text that of the merged commit.
    """
    asked = f"Asked for by {literal(update.actor)}.\n\n" if update.actor else ""
    return (
        f"{asked}{origin(result)}{changes(result.changes)}\n{effect(result)}"
        f"## Source commits\n\n{commits}\n\n"
        f"{fenced(result.diff)}\n"
        f"## Record\n\nKeep these lines if you squash.\n\n{fenced(record, 'text')}"
    )


def origin(result: UpdateResult) -> str:
    """Where images come from that nothing was built for; empty for those of a build."""
    told = result.origin
    if not told:
        return ""
    if told.promoted_from:
        since = f", where it has been since {told.since:%Y-%m-%d %H:%M} UTC" if told.since else ""
        soaked = f" ({age(told.since, now())})" if told.since else ""
        return f"Promoted from {code(told.promoted_from)}{since}{soaked}.\n\n"
    why = f": {literal(told.reason)}" if told.reason else "."
    taken = code(told.rolls_back[:7]) if told.rolls_back else "what came by hand"
    return f"Takes back {taken} and restores {code(told.restores[:7])}{why}\n\n"


def _rollout(result: UpdateResult) -> str:
    if not result.rollout:
        return ""
    if result.rollout.status == "skipped":
        said = f"Rollout not waited for: {literal(result.rollout.message)}."
    elif result.rollout.status == "superseded":
        said = f"Superseded on its way into the cluster: {literal(result.rollout.message)}."
    elif result.rollout.status == "suspended":
        said = f"Paused on its way into the cluster: {literal(result.rollout.message)}."
    else:
        said = f"Argo CD: {code(result.rollout.application)} is healthy at {code(result.rollout.revision)}, "
        said += f"after {result.rollout.seconds:.0f} s."
    endpoint = f" Its endpoint answers {literal(result.rollout.endpoint)}." if result.rollout.endpoint else ""
    return f"{said}{endpoint}\n\n"


def waiting(result: UpdateResult, lines: Sequence[str]) -> str:
    """Return what is between a pushed commit and the cluster, in Argo CD's and the pods' own words."""
    rows = "\n".join(f"- {literal(line)}" for line in lines) or "Nothing is in the way any more."
    return f"## {literal(result.tag)} on its way to {result.environment}\n\nCommit `{result.commit}`\n\n{rows}\n"


def changes(images: Sequence[ImageChange]) -> str:
    """Which images change, from old to new: a list, because the dialog of an approval is too narrow for a table."""
    return "".join(
        f"- {code(each.new.name)}\n    - from {whole(each.old)}\n    - to {whole(each.new)}\n" for each in images
    )


def effect(result: UpdateResult) -> str:
    """Say what the change does in the cluster, object by object, and what a person should know."""
    objects = "".join(map(_object, result.objects))
    warnings = "".join(f"**Warning:** {literal(each)}\n\n" for each in result.warnings)
    return (f"Rendered by kustomize, these objects change:\n\n{objects}\n" if objects else "") + warnings


def _object(change: ObjectChange) -> str:
    images = "".join(f"    - {short(old) if old else 'none'} → {short(new)}\n" for old, new in change.images)
    return f"- {code(change.object)} {change.effect}\n{images}"


def _where(result: UpdateResult) -> str:
    if result.proposed:
        return f"To be merged: {result.pull_request}, commit"
    return "Commit" if result.changed else "Dry run, nothing is written, on top of"


def _approval(result: UpdateResult) -> str:
    if not result.approved_by:
        return ""
    note = f": {literal(result.approval_note)}" if result.approval_note else ""
    return f"Approved by {literal(result.approved_by)}{note}\n\n"


def _sent(result: DeployResult) -> str:
    run, to = result.update_run, ""
    if run:
        to = f": [{run.name}]({run.url}) was {run.state} at that time"
    elif result.dispatched_via == "prefect-event":
        to = ", and **no run has come of it**: is the trigger of update-flowise-deployment there and switched on"
    return f"Sent on its way via `{result.dispatched_via}`{to}.\n"


def _image_rows(image: BuiltImage) -> str:
    tags = ", ".join(f"`{tag}`" for tag in image.tags)
    # Rows of one column: nowhere else is the page's type small enough for a digest, and two do not fit side by side.
    return f"| **{image.repository}**, {literal(image.reused) or 'built'}, as {tags} |\n| `{image.digest}` |"


def whole(image: ImageRef | None) -> str:
    """Return an image with its whole digest: the approver has to be able to compare it."""
    if image is None:
        return "not there"
    return f"{code(image.new_name or image.name)} {halves(image.digest)}" if image.digest else code(str(image))


def halves(digest: str) -> str:
    """Return a digest in two words: Prefect's pages and dialogs are narrower than it is, and cut off long words."""
    middle = len("sha256:") + 32
    return " ".join(filter(None, (code(digest[:middle]), code(digest[middle:]))))


def short(image: str) -> str:
    """Return an image as a person tells it from another one: of its digest the first twelve characters."""
    return code(WHOLE_DIGEST.sub(r"\1", image))
