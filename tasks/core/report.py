"""Results as Markdown that a person likes to read."""

from tasks.core.models import BuiltImage, DeployResult, ImageChange, UpdateResult


def deployed(result: DeployResult) -> str:
    """The first flow's summary: the images, and how the second flow was told."""
    rows = "\n".join(_image_row(image) for image in (result.server, result.ui))
    then = f"\n{updated(result.update)}" if result.update else f"\nSent on its way via `{result.dispatched_via}`.\n"
    return (
        f"# {result.environment}: {result.tag}\n\n"
        f"Source commit `{result.sha}`\n\n"
        "| image | | digest | tags |\n| --- | --- | --- | --- |\n"
        f"{rows}\n{then}"
    )


def updated(result: UpdateResult) -> str:
    """The second flow's summary: which images changed in the overlay, and the commit that holds it."""
    if result.skipped:
        return f"## Skipped\n\n{result.skipped}\n"
    if not result.diff:
        return f"## Nothing to commit\n\n`{result.overlay_path}` already says so, at commit `{result.commit}`.\n"
    rows = "\n".join(_change_row(change) for change in result.changes)
    return (
        f"## {result.overlay_path}\n\n"
        f"{'Commit' if result.changed else 'Dry run, nothing is written, on top of'} `{result.commit}`\n\n"
        "| image | before | now |\n| --- | --- | --- |\n"
        f"{rows}\n\n```diff\n{result.diff.rstrip()}\n```\n"
    )


def _image_row(image: BuiltImage) -> str:
    tags = ", ".join(f"`{tag[:16]}`" for tag in image.tags)
    return f"| `{image.repository}` | {'built' if image.built else 'built before'} | `{image.digest}` | {tags} |"


def _change_row(change: ImageChange) -> str:
    return f"| `{change.new.name}` | {f'`{change.old}`' if change.old else 'not there'} | `{change.new}` |"
