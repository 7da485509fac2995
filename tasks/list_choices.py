"""The task ``list-choices``: what an environment can be rolled back to, shown before anything is chosen."""

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from tasks.clients import overlays
from tasks.core.gitops.rollback import choices_there
from tasks.core.models import Environment
from tasks.core.report.choices import rows
from tasks.core.settings import load
from tasks.core.text import plain
from tasks.runtime.retries import RETRIES


@task(name="list-choices", task_run_name="list-choices {environment}", timeout_seconds=600, **RETRIES)
def list_choices(environment: Environment) -> None:
    """Leave the choices in the artifact ``rollback-ENVIRONMENT`` and in the log.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    found = rows(choices_there(overlays(load(), environment), environment))
    for each in found:
        words = "steps={steps} or to={to}: {version}, deployed {deployed}, in place for {in place for}".format(**each)
        get_run_logger().info(plain(words))
    described = f"What {environment} can be rolled back to: the values of steps and to"
    create_table_artifact(found, key=load().names.own(f"rollback-{environment}"), description=described)
