"""A run's result in one sentence: the last line of its log, and its state's message."""

from tasks.core.models import BuiltImage, DeployPlan, DeployResult, ImageChange, UpdateResult


def state_name(result: UpdateResult) -> str:
    """Name the end of a run that failed in nothing, so that one that deployed nothing does not look as if it had."""
    if result.skipped:
        return "Skipped"
    if result.rollout and result.rollout.status not in ("healthy", "skipped"):
        return result.rollout.status.capitalize()
    if not result.diff:
        return "Unchanged"
    if result.proposed:
        return "Proposed"
    return "Completed" if result.changed else "DryRun"


def of_update(result: UpdateResult) -> str:
    """Return what an update came to, such as ``dev: 85000dc -> dff1a53, commit 9713b86, healthy after 41 s``."""
    if result.skipped:
        return f"Skipped: {result.skipped}"
    if not result.diff:
        return f"{result.environment}: nothing to commit, {result.tag} is in place{_arrived(result)}"
    move = f"{result.environment}: {before(result)} -> {result.tag}"
    if result.proposed:
        return f"{move}, proposed by {result.pull_request or result.commit[:7]}"
    if not result.changed:
        return f"{move}, dry run: nothing was written"
    return f"{move}, commit {result.commit[:7]}{_arrived(result)}"


def of_deploy(result: DeployResult) -> str:
    """Return what a delivery came to: the update's sentence, or where the images were sent; then the images."""
    if result.update:
        said = of_update(result.update)
    else:
        said = f"{result.environment}: {result.tag} sent via {result.dispatched_via}"
        said += f", {result.update_run.name} is {result.update_run.state}" if result.update_run else ""
    return f"{said.rstrip('.')}. Images: {', '.join(_image(each) for each in result.images)}"


def of_plan(plan: DeployPlan) -> str:
    """Return what a delivery would come to, and which images it would build."""
    images = (f"{each.repository} would be {'reused' if each.digest else 'built'}" for each in plan.images)
    return f"{of_update(plan.update).rstrip('.')}. Images: {', '.join(images)}"


def before(result: UpdateResult) -> str:
    """Name the version that an update replaces: its source commit, else its tag or digest."""
    return result.replaces[:7] or next(filter(None, map(_version, result.changes)), "nothing")


def _version(change: ImageChange) -> str:
    if not change.old:
        return ""
    digest = (change.old.digest or "").removeprefix("sha256:")
    return digest[:12] or change.old.tag or ""


def _arrived(result: UpdateResult) -> str:
    rollout = result.rollout
    if not rollout:
        return ""
    if rollout.status == "healthy":
        said = f", healthy after {rollout.seconds:.0f} s"
    else:
        said = ", rollout not checked" if rollout.status == "skipped" else f", {rollout.status}: {rollout.message}"
    return f"{said}, endpoint answers {rollout.endpoint}" if rollout.endpoint else said


def _image(image: BuiltImage) -> str:
    return f"{image.repository} {'built' if image.built else 'reused'}"
