"""Everything that differs between one installation and another, read from the environment."""

import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.core.errors import InvalidInput
from tasks.core.models import Transport


class Settings(BaseSettings):
    """The settings; each field's environment variable is its name in capitals.

    The AWS names are the ones boto3 reads by itself. They stand here so that they are documented and
    checked; profiles, roles and Prefect's ``AwsCredentials`` block work without them.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    source_repo: str = Field("", description="Source repository: `owner/name` on GitHub, a git URL or a path.")
    gitops_repo: str = Field("", description="GitOps repository: `owner/name` on GitHub, a git URL or a path.")
    gitops_branch: str = Field("main", description="Branch of the GitOps repository that Argo CD watches.")
    overlays_path: str = Field(
        "argocd/apps/flowise/overlays",
        description="Folder of the GitOps repository with one overlay for each environment.",
    )
    ecr_registry: str = Field(
        "",
        description="Registry host[:port]. `*.dkr.ecr.*` means Amazon ECR, others a plain OCI registry.",
    )
    ecr_create_repositories: bool = Field(
        False, description="Create a missing ECR repository instead of explaining how to."
    )
    aws_region: str | None = Field(None, description="Region of ECR; the one in the registry's name by default.")
    aws_access_key_id: str | None = Field(None, description="AWS key id, as boto3 reads it.")
    aws_secret_access_key: SecretStr | None = Field(None, description="AWS secret key, as boto3 reads it.")
    aws_endpoint_url: str | None = Field(None, description="Another endpoint for AWS's API, as boto3 reads it.")
    aws_credentials_block: str = Field(
        "flowise", description="Name of the Prefect `AwsCredentials` block; used where it exists."
    )
    gitops_token: SecretStr | None = Field(
        None, description="GitHub token for checkout and push over HTTPS and for repository dispatch."
    )
    github_credentials_block: str = Field(
        "flowise", description="Name of the Prefect `GitHubCredentials` block; used where it exists."
    )
    github_api_url: str = Field(
        "https://api.github.com", description="GitHub's API; `https://HOST/api/v3` for GitHub Enterprise."
    )
    dispatch_via: Transport = Field(
        "inline",
        description="How the second flow is reached: `inline` (a subflow), `prefect-event`, `repository-dispatch`.",
    )
    build_timeout: Annotated[int, Field(gt=0)] = Field(3600, description="Seconds one image's build may take.")
    git_timeout: Annotated[int, Field(gt=0)] = Field(600, description="Seconds one git command may take.")
    work_dir: Path = Field(
        Path(tempfile.gettempdir()), description="Where fetched sources live while a run needs them."
    )

    def require(self, *names: str) -> None:
        """Make sure that these settings have a value.

        Raises:
            InvalidInput: names every one that has none.
        """
        missing = [name.upper() for name in names if not getattr(self, name)]
        if missing:
            raise InvalidInput(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
                "; ".join(f"{name}: {Settings.model_fields[name.lower()].description}" for name in missing),
            )


def load() -> Settings:
    """Read the settings as they are now.

    Raises:
        InvalidInput: a value is not what it should be; the message names its variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        said = "; ".join(f"{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
        raise InvalidInput(f"The settings are not valid: {said}.", "They are read from the environment.") from None
