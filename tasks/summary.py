"""What a person reads when a flow has ended: one Markdown artifact a run."""

from prefect.artifacts import create_markdown_artifact

from tasks.core.models import DeployResult, UpdateResult
from tasks.core.report import links, markdown
from tasks.core.settings import load


def summarize_deploy(result: DeployResult) -> None:
    """Leave the first flow's summary in the run's artifacts, and as the newest under its key."""
    create_markdown_artifact(
        markdown.deployed(result) + links.of_deploy(result, load()),
        key=f"deploy-{result.environment}",
        description=f"{result.tag} to {result.environment}",
    )


def summarize_update(result: UpdateResult) -> None:
    """Leave the second flow's summary in the run's artifacts, and as the newest under its key."""
    create_markdown_artifact(
        markdown.updated(result) + links.of_update(result, load()),
        key=f"update-{result.environment}",
        description=f"{result.tag} in {result.environment}",
    )
