"""What update-flowise-deployment, promote and rollback have in common: from an update to what runs in the cluster."""

from prefect.states import Completed

from tasks.approval import ask, needed
from tasks.core.errors import DeliveryError, NotSynced, RolledBack, RolloutFailed
from tasks.core.models import Approval, ImageUpdate, Origin, UpdateResult
from tasks.core.report import one_line
from tasks.core.settings import load
from tasks.find_deployment import find_earlier
from tasks.github_status import shown_on_github
from tasks.limits import one_run_in
from tasks.pull_request import open_pull_request
from tasks.rollout import check_health, rollout
from tasks.stopped import said_if_stopped
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
    result = write(update, force, dry_run, needed(update.environment), origin)
    while result.pending:
        result = write(update, force, dry_run, ask(update, result), origin)
    if result.proposed:
        result = open_pull_request(update, result)
    elif not result.skipped and not dry_run:
        with shown_on_github(update):
            result = roll_out_or_back(update, result)
    summarize_update(result)
    return Completed(name="Skipped", message=result.skipped, data=result) if result.skipped else result


def write(
    update: ImageUpdate, force: bool, dry_run: bool, approval: Approval | None, origin: Origin | None
) -> UpdateResult:
    """Commit the update, unless it must not be or is not approved; nobody waits for the environment meanwhile."""
    with one_run_in(update.environment), said_if_stopped(WRITING):
        return update_kustomization(update, force, dry_run, approval, origin)


def roll_out_or_back(update: ImageUpdate, result: UpdateResult) -> UpdateResult:
    """See the commit into the cluster; where it fails there, bring back what was deployed before, if that is wanted."""
    try:
        return roll_out(result)
    except RolloutFailed as failure:
        again = result.origin and result.origin.restores
        if update.environment not in load().auto_rollback or again or isinstance(failure, NotSynced):
            raise
        raise taken_back(update, failure) from failure


def roll_out(result: UpdateResult) -> UpdateResult:
    """See the commit into the cluster, and its endpoint answer."""
    with said_if_stopped(WRITTEN % result.commit[:7]):
        arrived = rollout(result)
        return result.model_copy(update={"rollout": arrived.model_copy(update={"endpoint": check_health(result)})})


def taken_back(update: ImageUpdate, failure: RolloutFailed) -> RolloutFailed:
    """Restore the deployment before the one that failed; returns the error that has both facts."""
    why = one_line(failure.message)
    try:
        back = find_earlier(update.environment, "", 1, "automatic rollback", why, of=update)
        result = write(back.update, False, False, None, back.origin)
        if result.skipped:
            return RolloutFailed(f"{failure.message} Not rolled back: {result.skipped}", failure.hint)
        summarize_update(roll_out(result))
    except DeliveryError as error:
        return RolloutFailed(f"{failure.message} And its rollback failed: {error.message}", error.hint)
    return RolledBack(
        f"{failure.message} {update.environment} is back at {back.update.tag}, by commit {result.commit[:7]}.",
        "Nothing else to do for now; deploy a commit that mends it.",
    )
