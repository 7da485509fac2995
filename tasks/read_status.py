"""The task ``read-status``: the GitOps repository's own record of every deployment."""

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.clients import overlays
from tasks.core.gitops.status import Status, read
from tasks.core.report import status_page
from tasks.core.settings import load
from tasks.runtime.retries import RETRIES


@task(name="read-status", timeout_seconds=600, **RETRIES)
def read_status(shown: int) -> Status:
    """Read what is deployed where, and leave it as two artifacts: the page ``status`` and the table ``ledger``.

    Args:
        shown: deployments of each environment.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    settings = load()
    status = read(overlays(settings, "dev"), settings.promotion, shown)
    create_markdown_artifact(status_page.page(status), key="status", description="What is deployed where")
    create_table_artifact(status_page.rows(status), key="ledger", description="Who deployed what, where and when")
    return status
