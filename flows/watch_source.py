"""The flow ``watch-source``: the push trigger of the user's workflow, for where GitHub cannot reach the receiver."""

from prefect.variables import Variable

from tasks.core.settings import Settings, load
from tasks.core.triggers.branch_watch import Seen, WatchResult, run_key, variable_name
from tasks.core.triggers.path_filter import PathFilter
from tasks.runtime.flow import flow
from tasks.runtime.skipped import skipped
from tasks.watch_source import compare, read_head, start_deploy


@flow(name="watch-source")
def watch_source() -> WatchResult:
    """Look at the source branch, and start deploy-to-k8s for dev when its head is new and changes what is deployed.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint; the next run looks again.
    """
    settings = load()
    settings.require("source_repo")
    name = settings.names.own(variable_name(settings.source_repo, settings.source_branch)).replace("-", "_")
    kept = Variable.get(name)
    seen = Seen.read(kept, name) if kept is not None else None
    result = look(settings, seen)
    if seen is None or result.sha != seen.sha:
        # After the run was started: a watch that is killed in between starts the same run again, not another.
        now = Seen(sha=result.sha, flow_run=result.flow_run or (seen and seen.flow_run))
        Variable.set(name, now.model_dump(), overwrite=True)
    return result if result.flow_run else skipped(result.reason, result)


def look(settings: Settings, seen: Seen | None) -> WatchResult:
    """One look at the branch: nothing is fetched unless its head is new, nothing started unless it matters."""
    branch, paths = settings.source_branch, PathFilter(settings.source_paths)
    sha = read_head(branch)
    if seen and seen.sha == sha:
        return WatchResult(branch=branch, sha=sha, reason=f"{branch} is still at {sha}.")
    files = compare(seen.sha, sha) if seen else None
    changed = tuple(paths.matching(files or ()))
    if files is not None and not changed:
        reason = f"No file that changed since {seen and seen.sha} is one of SOURCE_PATHS."
        return WatchResult(branch=branch, sha=sha, reason=reason)
    run = start_deploy(sha, run_key(seen, sha))
    return WatchResult(branch=branch, sha=sha, changed=changed, flow_run=run, reason=why(seen, changed))


def why(seen: Seen | None, changed: tuple[str, ...]) -> str:
    """Why a run was started."""
    if seen is None:
        return "The branch was never looked at before."
    return f"{len(changed)} files changed." if changed else f"{seen.sha} is gone: what changed cannot be told."
