"""The tasks ``find-earlier`` and ``find-running``: what was deployed, for those flows that build nothing."""

from prefect import task
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.clients import overlays
from tasks.core.errors import InvalidInput
from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.promotion import check_soak, running
from tasks.core.gitops.rollback import Wanted, earlier
from tasks.core.models import Environment, Move
from tasks.core.settings import load
from tasks.runtime.log import info
from tasks.runtime.retries import RETRIES


@task(name="find-earlier", task_run_name="find-earlier {environment}", timeout_seconds=600, **RETRIES)
def find_earlier(environment: Environment, wanted: Wanted, actor: str, reason: str = "") -> Move:
    """Find the deployment that an environment goes back to.

    Args:
        environment: what goes back.
        wanted: to which deployment; if another one than ``wanted.of`` came meanwhile, that one stays.
        actor: who asks for it.
        reason: why.

    Raises:
        NotFound: there is none.
        InvalidInput: what it deployed cannot be told.
        AccessDenied, Unavailable: as the git server answers.
    """
    repository, run = overlays(load(), environment), flow_run.id or ""
    move = earlier(repository, environment, wanted, actor=actor, run=run, reason=reason)
    get_run_logger().info("Back to %s of commit %s", move.update.tag, move.origin.restores)
    return move


@task(name="find-running", task_run_name="find-running for {environment}", timeout_seconds=600, **RETRIES)
def find_running(environment: Environment, actor: str, force: bool) -> tuple[Move, Deployment]:
    """Find what is deployed in the environment that this one is promoted from, and for long enough.

    Raises:
        InvalidInput: it is promoted from nowhere, or what was deployed cannot be told.
        NotFound: nothing was deployed there.
        NotProven: it is not there for ``SOAK_SECONDS`` yet; with ``force`` this isn't checked.
        AccessDenied, Unavailable: as the git server answers.
    """
    settings, log = load(), info()
    source = settings.promotion.get(environment)
    if not source:
        known = ", ".join(f"{to} from {here}" for to, here in settings.promotion.items())
        raise InvalidInput(f"{environment} is promoted from nowhere.", f"PROMOTION says: {known or 'nothing'}.")
    move, deployment = running(overlays(settings, environment), source, environment, actor=actor, run=flow_run.id or "")
    log("%s runs %s since %s", source, deployment.tag, deployment.at)
    if not force:
        check_soak(deployment, settings.soak_seconds)
    return move, deployment
