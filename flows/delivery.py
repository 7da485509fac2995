"""What update-flowise-deployment, promote and rollback have in common: from an update to what runs in the cluster."""

from functools import partial

from prefect.runtime import flow_run

from flows.outcome import refresh_status
from tasks.approval import ask, needed
from tasks.core.errors import DeliveryError, Inconclusive, RolledBack, RolloutFailed
from tasks.core.gitops.rollback import Wanted
from tasks.core.models import Approval, ImageUpdate, Origin, UpdateResult
from tasks.core.settings import load
from tasks.core.text import one_line
from tasks.find_deployment import find_earlier
from tasks.github_status import shown_on_github
from tasks.last_good import last_good, remember
from tasks.pull_request import await_merge, close_pull_request, open_pull_request
from tasks.rollout import check_health, failing_endpoint, rollout
from tasks.runtime.cancellation import said_if_stopped
from tasks.runtime.concurrency import one_run_in
from tasks.runtime.skipped import value_of
from tasks.summary import summarize_update
from tasks.update_kustomization import update_kustomization

WRITING = "Stopped. The commit is on the GitOps branch as a whole, or not at all; running again makes no second one."
WRITTEN = "Stopped. Commit %s is on the GitOps branch and stays, and Argo CD goes on with it; rollback takes it back."


def deliver(
    update: ImageUpdate, *, force: bool = False, dry_run: bool = False, origin: Origin | None = None
) -> UpdateResult:
    """Write an update once it is approved, see it into the cluster, and sum up.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    if not update.workflow_run_id:  # by it the commit is recognised if the answer to its push is lost
        update = update.model_copy(update={"workflow_run_id": flow_run.id})
    before = "" if dry_run else failing_endpoint(update.environment)
    result = write(update, force, dry_run, needed(update.environment), origin)
    while result.pending:
        approval = ask(update, result, refresh_status)
        before = failing_endpoint(update.environment)  # a person may have taken hours
        result = write(update, force, dry_run, approval, origin)
    if result.proposed:
        result = open_pull_request(update, result)
        if load().merge_wait:
            result = await_merge(result)
    elif update.environment in load().pull_requests and not (result.changed or result.skipped or dry_run):
        close_pull_request(update, result)
    if not (result.proposed or result.skipped or dry_run):
        result = shown_on_github(update, partial(roll_out_or_back, update, result, before))
    summarize_update(update, result)
    return result


def write(
    update: ImageUpdate, force: bool, dry_run: bool, approval: Approval | None, origin: Origin | None
) -> UpdateResult:
    """Commit the update, unless it must not be or is not approved; the environment's slot is held meanwhile."""
    with one_run_in(update.environment), said_if_stopped(WRITING):
        return value_of(update_kustomization(update, force, dry_run, approval, origin))


def roll_out_or_back(update: ImageUpdate, result: UpdateResult, before: str) -> UpdateResult:
    """See the commit into the cluster; if it is refuted there, bring back what was good before, where that is wanted.

    What is not known to have failed stays: only ``RolloutFailed`` is evidence, and an endpoint that failed before the
    deployment is none.
    """
    try:
        return roll_out(update, result, before)
    except RolloutFailed as failure:
        # What this run did not write it does not take back, and nor does a rollback.
        ours = result.changed and not (result.origin and result.origin.restores)
        if not ours or update.environment not in load().auto_rollback:
            raise
        raise taken_back(update, failure) from failure


def roll_out(update: ImageUpdate, result: UpdateResult, before: str = "") -> UpdateResult:
    """See the commit into the cluster, and its endpoint answer."""
    with said_if_stopped(WRITTEN % result.commit[:7]):
        arrived = value_of(rollout(result))
        if arrived.status not in ("superseded", "suspended"):
            arrived = arrived.model_copy(update={"endpoint": value_of(check_health(result, before))})
    if arrived.status == "healthy" or arrived.endpoint:
        remember(update, return_state=True)  # what cannot be remembered is deployed all the same
    return result.model_copy(update={"rollout": arrived})


def taken_back(update: ImageUpdate, failure: RolloutFailed) -> RolloutFailed:
    """Restore the last good deployment instead of the one that failed; returns the error that has both facts."""
    why, environment = one_line(failure.message), update.environment
    try:
        back = find_earlier(environment, Wanted(of=update, good=last_good(environment)), "automatic rollback", why)
        result = write(back.update, False, False, None, back.origin)
        if result.proposed:
            result = open_pull_request(back.update, result)
        elif not result.skipped:
            result = shown_on_github(back.update, partial(roll_out, back.update, result))
            summarize_update(back.update, result)
    except Inconclusive as error:
        return RolloutFailed(
            f"{failure.message} It was rolled back. {error.message}", "Look at the application in Argo CD."
        )
    except Exception as error:  # whatever it is, the run ends with both facts
        said, hint = (error.message, error.hint) if isinstance(error, DeliveryError) else (one_line(str(error)), "")
        return RolloutFailed(f"{failure.message} And its rollback failed: {said}", hint)
    if result.proposed:
        return RolloutFailed(f"{failure.message} Its rollback is proposed by {result.pull_request}.", "Merge that.")
    if instead := overtaken(result):
        return RolloutFailed(f"{failure.message} Not rolled back: {instead}", failure.hint)
    return RolledBack(
        f"{failure.message} {environment} is back at {back.update.tag}, by commit {result.commit[:7]}.",
        "Nothing else to do for now; deploy a commit that fixes it.",
    )


def overtaken(result: UpdateResult) -> str:
    """Why these images do not run, or not everywhere, though nothing failed; empty where they do."""
    stopped = result.rollout if result.superseded or result.suspended else None
    return result.skipped or (stopped.message if stopped else "")
