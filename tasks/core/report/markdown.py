"""Results as Markdown that a person likes to read."""

from collections.abc import Sequence

from tasks.core.models import BuiltImage, DeployResult, ImageChange, ImageRef, ImageUpdate, UpdateResult
from tasks.core.text import literal


def deployed(result: DeployResult) -> str:
    """The first flow's summary: the images, and how the second flow was told."""
    rows = "\n".join(_image_rows(image) for image in (result.server, result.ui))
    then = updated(result.update) if result.update else _sent(result)
    return (
        f"# {result.environment}: {result.tag}\n\nSource commit `{result.sha}`\n\n| images |\n| --- |\n{rows}\n\n{then}"
    )


def updated(result: UpdateResult) -> str:
    """The second flow's summary: which images changed in the overlay, and the commit that holds it."""
    if result.skipped:
        return f"## Skipped\n\n{result.skipped}\n"
    if not result.diff:
        return (
            f"## Nothing to commit\n\n`{result.overlay_path}` already says so, at commit `{result.commit}`.\n\n"
            f"{_rollout(result)}"
        )
    return (
        f"## {result.overlay_path}\n\n"
        f"{_where(result)} `{result.commit}`\n\n"
        f"{origin(result)}{_approval(result)}{changes(result.changes)}\n{_rollout(result)}"
        f"```diff\n{result.diff.rstrip()}\n```\n"
    )


def proposed(update: ImageUpdate, result: UpdateResult, commits: str) -> str:
    """The text of a pull request: who asks, what changes, and the source commits in between."""
    asked = f"Asked for by {literal(update.actor)}.\n\n" if update.actor else ""
    return (
        f"{asked}{origin(result)}{changes(result.changes)}\n"
        f"## Source commits\n\n{commits}\n\n"
        f"```diff\n{result.diff.rstrip()}\n```\n"
    )


def origin(result: UpdateResult) -> str:
    """Where images come from that nothing was built for; empty for those of a build."""
    told = result.origin
    if not told:
        return ""
    if told.promoted_from:
        return f"Promoted from `{told.promoted_from}`.\n\n"
    why = f": {literal(told.reason)}" if told.reason else "."
    taken = f"`{told.rolls_back[:7]}`" if told.rolls_back else "what came by hand"
    return f"Takes back {taken} and restores `{told.restores[:7]}`{why}\n\n"


def _rollout(result: UpdateResult) -> str:
    if not result.rollout:
        return ""
    if result.rollout.status == "skipped":
        said = f"Rollout not waited for: {result.rollout.message}."
    elif result.rollout.status == "superseded":
        said = f"Superseded on its way into the cluster: {result.rollout.message}."
    elif result.rollout.status == "suspended":
        said = f"Paused on its way into the cluster: {literal(result.rollout.message)}."
    else:
        said = f"Argo CD: `{result.rollout.application}` is healthy at `{result.rollout.revision}`, "
        said += f"after {result.rollout.seconds:.0f} s."
    endpoint = f" Its endpoint answers {literal(result.rollout.endpoint)}." if result.rollout.endpoint else ""
    return f"{said}{endpoint}\n\n"


def changes(images: Sequence[ImageChange]) -> str:
    """A table of images, before and after."""
    rows = "\n".join(_change_row(change) for change in images)
    return f"| image | before | now |\n| --- | --- | --- |\n{rows}\n"


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
    tags = ", ".join(f"`{tag[:16]}`" for tag in image.tags)
    # Rows of one column: nowhere else is the page's type small enough for a digest, and two do not fit side by side.
    return f"| **{image.repository}**, {literal(image.reused) or 'built'}, as {tags} |\n| `{image.digest}` |"


def _change_row(change: ImageChange) -> str:
    return f"| `{change.new.name}` | {short(change.old)} | {short(change.new)} |"


def short(image: ImageRef | None) -> str:
    """An image as a person tells it from another one: of its digest the first twelve characters."""
    if image is None:
        return "not there"
    digest = image.digest or ""
    return f"`{str(image).removesuffix(digest)}{digest[: len('sha256:') + 12]}`"
