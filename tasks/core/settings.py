"""Everything that differs between one installation and another, read from the environment."""

from ast import literal_eval
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_cache_path
from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import from_json
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tasks.core.errors import InvalidInput
from tasks.core.hosts import strangers
from tasks.core.images import Images
from tasks.core.models import (
    Attestation,
    BuilderKind,
    Elsewhere,
    Environment,
    NodeVersion,
    Render,
    Transport,
    WorkPoolType,
)
from tasks.core.names import DEFAULT, Names

ASKED_BY_DEFAULT: tuple[Environment, ...] = ("production",)
"""Environments for which runs of deployments ask unless ``APPROVAL_REQUIRED`` says otherwise."""


PLACE = "{environment}"
"""Stands for an environment's name in a pattern."""


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [name.strip() for name in value.split(",") if name.strip()]


def _lines(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [line.strip() for line in value.splitlines() if line.strip()]


def _sources(value: object) -> object:
    """Read ``id=source`` with commas between, or JSON."""
    if not isinstance(value, str) or value.lstrip().startswith("{"):
        return _json(value)
    pairs = [pair.strip().partition("=") for pair in value.split(",") if pair.strip()]
    if any(not source for _, _, source in pairs):
        raise ValueError("write id=source, with commas between")  # without what was given: it may be a secret
    return {name.strip(): source.strip() for name, _, source in pairs}


def _approvals(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() == "none":
        return ()
    listed = _listed(value)
    if isinstance(value, str) and not listed and not value.lstrip().startswith("["):
        raise ValueError("it names no environment; write none if no run should ask")
    return listed


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return from_json(value)
    except ValueError:
        with suppress(ValueError, SyntaxError):  # a Prefect variable that is a list, as a worker writes it
            return literal_eval(value)
        raise


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Names a build secret, or an SSH agent, in a Dockerfile."""

Source = Annotated[str, Field(pattern=r"^(/[^\x00\n]*|[a-z0-9][a-z0-9-]*)$")]
"""Where a secret comes from: a file's absolute path, or the name of a Prefect Secret block."""

Secret = Annotated[SecretStr, BeforeValidator(_stripped)]
"""A secret without the line break that it gets from ``echo TOKEN | base64``."""


SECRETS_FOLDER = Path("/run/secrets/flowise-delivery")
"""Settings may be files here, named as they are: secrets of a container, which its environment would show."""


def _application(known: dict[str, Any]) -> str:
    """Return the application of settings that are being read; the default one if its name isn't valid."""
    return str(known.get("application", DEFAULT))


ENDPOINTS = {"production": "prod"}
"""Environments whose endpoint's setting doesn't begin with their name."""


class Settings(BaseSettings):
    """The settings; each field's environment variable is its name in capitals.

    The AWS names are the ones boto3 reads by itself. They stand here so that they are documented and
    checked; profiles, roles and Prefect's ``AwsCredentials`` block work without them.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, str_strip_whitespace=True)

    application: str = Field(
        DEFAULT,
        pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$",
        description="Name of the application: lower-case letters, digits and hyphens. The names of pools, deployments,"
        " limits, variables, blocks, alerts and branches derive from it, so that one server can have several.",
    )
    source_repo: str = Field("", description="Source repository: `owner/name` on GitHub, a git URL or a path.")
    source_branch: str = Field("main", description="Branch of the source repository whose new commits go to dev.")
    source_paths: str = Field(
        "packages/**,Dockerfile",
        description="Files whose change is deployed: patterns of GitHub Actions' `paths`, with commas between.",
    )
    source_submodules: Elsewhere = Field(
        "reject",
        description="Submodules in an image's context: `fetch` them (the source's token goes to its own host alone),"
        " `leave` their folders empty, or `reject` the build.",
    )
    source_lfs: Elsewhere = Field(
        "reject",
        description="Git LFS files in an image's context: `fetch` them with git-lfs, `leave` their pointers, or"
        " `reject` the build.",
    )
    gitops_repo: str = Field("", description="GitOps repository: `owner/name` on GitHub, a git URL or a path.")
    gitops_branch: str = Field(
        "main",
        description="Branch of the GitOps repository that Argo CD watches, or a pattern such as `env/{environment}` if"
        " each environment has its own.",
    )
    overlays_path: str = Field(
        default_factory=lambda known: f"argocd/apps/{_application(known)}/overlays",
        description="Folder of the GitOps repository with one overlay for each environment, or a pattern such as"
        " `envs/{environment}/flowise`; `FOLDER/.` is one overlay for all of them, with a branch for each environment.",
    )
    environment_names: Annotated[dict[Environment, str], NoDecode, BeforeValidator(_json)] = Field(
        {},
        description="What environments are called in `OVERLAYS_PATH`, `GITOPS_BRANCH`, `ARGOCD_APPLICATION`, as JSON,"
        ' if it isn\'t their own name: `{"production": "prod"}`.',
    )
    render: Render = Field(
        "auto",
        description="Render the overlay with kustomize before a commit: `auto` if kustomize or kubectl is there,"
        " `require`, `off`.",
    )
    commit_author: Annotated[str, Field(pattern=r"^[^<>\x00-\x1f]+ <[^<>\s]+>$")] = Field(
        "github-actions[bot] <github-actions[bot]@users.noreply.github.com>",
        description="Author and committer of the GitOps commits, as `Name <address>`.",
    )
    commit_signing_key: str = Field(
        "",
        description="Key that git signs the GitOps commits with: the file of an SSH key, or the id of a GPG key;"
        " not signed where not set.",
    )
    commit_prefix: str = Field(
        "", description="What stands before the subject of the GitOps commits, such as `[skip ci]` or a ticket."
    )
    commit_lines: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_lines)] = Field(
        (), description="Lines that are added to the GitOps commits' messages, such as `Ticket: OPS-7`; or a JSON list."
    )
    default_node_version: NodeVersion = Field(
        "20", description="Node.js version whose images get the plain tags; those of others end with `-node22`, say."
    )
    ecr_registry: str = Field(
        "",
        description="Registry `host[:port]`, with a project behind it if it has those: `harbor.example.com/team`."
        " `*.dkr.ecr.*` means Amazon ECR, others a plain OCI registry.",
    )
    image_registries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="Registries, or folders in them, that promoted and restored images may come from besides"
        " `ECR_REGISTRY`, with commas between.",
    )
    registry_plain_http: bool = Field(
        False, description="Speak plain HTTP with a registry on another machine; the engine must allow it as well."
    )
    registry_ca_file: str = Field(
        "",
        description="Certificates (PEM) that the registry's may come from, besides the machine's and those in"
        " `/etc/docker/certs.d`.",
    )
    build_logins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="Registries of private base images, such as `docker.io`, whose docker login builds may use; that of"
        " `ECR_REGISTRY` they may use anyway.",
    )
    ecr_create_repositories: bool = Field(
        False, description="Create a missing ECR repository instead of explaining how to."
    )
    aws_region: str | None = Field(None, description="Region of ECR; the one in the registry's name by default.")
    aws_access_key_id: str | None = Field(None, description="AWS key id, as boto3 reads it.")
    aws_secret_access_key: Secret | None = Field(None, description="AWS secret key, as boto3 reads it.")
    aws_endpoint_url: str | None = Field(None, description="Another endpoint for AWS's API, as boto3 reads it.")
    aws_credentials_block: str = Field(
        default_factory=_application, description="Name of the Prefect `AwsCredentials` block; used where it exists."
    )
    gitops_token: Secret | None = Field(
        None, description="Token for the GitOps repository: fetch, push, repository dispatch and pull requests."
    )
    gitops_username: str = Field(
        "",
        description="User name that goes with the token over HTTPS, for servers that want the account's own;"
        " by default the one that GitHub, GitLab or Bitbucket wants.",
    )
    github_credentials_block: str = Field(
        default_factory=_application,
        description="Name of the Prefect `GitHubCredentials` block; it takes precedence over `GITOPS_TOKEN`.",
    )
    source_token: Secret | None = Field(
        None,
        description="Token for the source repository; read access is enough unless `GITHUB_STATUS` is on. Without it,"
        " `GITOPS_TOKEN` is used where a run has that.",
    )
    source_credentials_block: str = Field(
        default_factory=lambda known: f"{_application(known)}-source",
        description="Name of the Prefect `GitHubCredentials` block that takes precedence over `SOURCE_TOKEN`.",
    )
    github_app_id: str = Field(
        "", description="Id of a GitHub App whose short-lived tokens are used instead of `GITOPS_TOKEN` and its block."
    )
    github_app_private_key: SecretStr | None = Field(
        None, description="That App's private key: the text of its PEM file; `\\n` may stand for line breaks."
    )
    github_app_installation_id: str = Field(
        "", description="Id of that App's installation; without it, GitHub is asked for the repository's."
    )
    github_api_url: str = Field(
        "https://api.github.com", description="GitHub's API; `https://HOST/api/v3` for GitHub Enterprise."
    )
    github_webhook_secret: Secret | None = Field(
        None, description="Secret of the GitHub webhooks; the receiver does not start without."
    )
    github_webhook_secret_previous: SecretStr | None = Field(
        None, description="The webhook secret before, which is accepted as well while you replace it at GitHub."
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="Hosts, as `host[:port]`, that credentials may be sent to, whatever other settings say, with commas"
        " between. `flowise-setup` fixes them for runs of deployments: those of its settings, or these.",
    )
    dispatch_via: Transport = Field(
        "inline",
        description="How the second flow is reached: `inline` (a subflow), `prefect-event`, `repository-dispatch`. If"
        " it is not set, runs of deployments use `prefect-event`.",
    )
    approval_required: Annotated[tuple[Environment, ...], NoDecode, BeforeValidator(_approvals)] = Field(
        (),
        description="Environments that wait for an operator in the Prefect UI: `staging,production`, a JSON list, or"
        " `none`. If it is empty or not set, runs of deployments ask for production and Python callers are not asked.",
    )
    approval_timeout: Annotated[int, Field(gt=0)] = Field(
        86400, description="Seconds an operator has to approve; then the update counts as rejected."
    )
    approver_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]*$",
        description="Header in which the proxy's single sign-on names the user to flowise-board, such as"
        " `X-Forwarded-User`. Runs that know it accept an approval from the board alone, not a typed name.",
    )
    board_url: str = Field(
        "", description="Address of flowise-board behind the proxy; approvals and notifications link to it."
    )
    images: Annotated[Images, NoDecode, BeforeValidator(_json)] = Field(
        default_factory=Images,
        description="The two images, where they differ from Flowise's: JSON with the keys `server` and `ui`, each with"
        " `name`, `manifest_name`, `dockerfile`, `target`, `context`, `paths`, `build_args`, `platform` as needed.",
    )
    auto_rollback: Annotated[tuple[Environment, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="Environments that go back to the last good deployment when Argo CD gives evidence against a"
        " rollout, or the environment's endpoint answers 5xx on every try and didn't before. Anything else undoes"
        " nothing.",
    )
    pull_requests: Annotated[tuple[Environment, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="Environments whose changes are proposed as a pull request on GitHub instead of being pushed.",
    )
    merge_wait: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Seconds a run waits for its pull request to be merged, to see the rollout as well; 0: not at all.",
    )
    promotion: Annotated[dict[Environment, Environment], NoDecode, BeforeValidator(_json)] = Field(
        {"staging": "dev", "production": "staging"},
        description="Which environment each one is promoted from, as JSON.",
    )
    soak_seconds: Annotated[int, Field(ge=0)] = Field(
        0, description="Seconds a deployment has to be in an environment before it is promoted from there."
    )
    github_status: bool = Field(
        False, description="Show deployments on GitHub: a status of the source commit, and GitHub deployments."
    )
    dispatch_wait: Annotated[int, Field(ge=0)] = Field(
        0, description="Seconds the first flow waits for the run that its `prefect-event` started; 0: not at all."
    )
    builder: BuilderKind = Field(
        "engine",
        description="What builds the images: `engine`, the Docker Engine's API, or `buildx`, the docker command's"
        " buildx with any driver.",
    )
    buildx_builder: str = Field(
        "",
        pattern=r"^([A-Za-z][A-Za-z0-9._-]*|(tcp|unix)://\S+)?$",
        description="Builder of `BUILDER=buildx`: a name of `docker buildx ls`, or the address of a buildkitd, such as"
        " `tcp://buildkitd:1234`; the docker command's current one by default.",
    )
    buildx_certs: Path | None = Field(
        None, description="Folder with `ca.pem`, `cert.pem` and `key.pem` for such an address (mTLS)."
    )
    build_secrets: Annotated[dict[Id, Source], NoDecode, BeforeValidator(_sources)] = Field(
        {},
        description="Build secrets for `RUN --mount=type=secret`, as `id=SOURCE` with commas between: a file's absolute"
        " path, or the name of a Prefect `Secret` block. `BUILDER=buildx` only.",
    )
    build_ssh: Annotated[dict[Id, Source], NoDecode, BeforeValidator(_sources)] = Field(
        {},
        description="The same for `RUN --mount=type=ssh`, whose id is `default` unless it has one: a private key's file"
        " or block, or an SSH agent's socket.",
    )
    build_attestations: Annotated[tuple[Attestation, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (), description="Attestations of the images: `provenance`, `sbom`. `BUILDER=buildx` only."
    )
    build_sbom_generator: str = Field(
        "",
        pattern=r"^[\w./:@-]*$",
        description="Image that writes the SBOM; BuildKit's own (`docker/buildkit-syft-scanner`) by default.",
    )
    build_timeout: Annotated[int, Field(gt=0)] = Field(3600, description="Seconds one image's build may take.")
    build_cache_gb: Annotated[int, Field(ge=0)] = Field(
        20,
        description="Gigabytes of build cache that a build leaves on the Docker Engine, other projects' included:"
        " BuildKit can't tell whose is whose. 0: the engine decides.",
    )
    git_timeout: Annotated[int, Field(gt=0)] = Field(600, description="Seconds one git command may take.")
    argocd_server: str = Field(
        "", description="Argo CD: a host (HTTPS), or a URL. The rollout is skipped where it is not set."
    )
    argocd_auth_token: Secret | None = Field(
        None, description="Token of an Argo CD account that may get and sync the applications."
    )
    argocd_project: str = Field(
        "", description="AppProject of the applications; with it a missing one is told from a forbidden one."
    )
    argocd_application: str = Field(
        default_factory=lambda known: f"{_application(known)}-{PLACE}",
        pattern=r"^[a-z0-9.-]*(\{environment\}[a-z0-9.-]*)?$",
        description="Name of the applications; `{environment}` stands for the environment.",
    )
    argocd_namespace: str = Field("", description="Namespace of the applications, if it is not Argo CD's own.")
    argocd_ca_file: Path | None = Field(
        None, description="PEM file of certificates to trust for Argo CD, besides the system's."
    )
    rollout_timeout: Annotated[float, Field(gt=0)] = Field(
        900, description="Seconds a rollout may take; more than a Deployment's own deadline and DEGRADED_SECONDS."
    )
    rollout_poll_seconds: Annotated[float, Field(gt=0)] = Field(
        5, description="Seconds between two looks at a rollout."
    )
    degraded_seconds: Annotated[float, Field(ge=0)] = Field(
        60, description="Seconds that Degraded must last at the new commit to count as a failed rollout."
    )
    pods_degraded_seconds: Annotated[float, Field(ge=0)] = Field(
        0, description="Seconds after which new pods that don't start count as a failed rollout, too; 0: never."
    )
    dev_endpoint: str = Field("", description="Address of dev, to check after a rollout; no check where not set.")
    staging_endpoint: str = Field("", description="The same for staging.")
    prod_endpoint: str = Field("", description="The same for production.")
    health_path: str = Field("/api/v1/ping", description="What is asked for at an endpoint; any 2xx is healthy.")
    health_tries: Annotated[int, Field(gt=0)] = Field(10, description="How often an endpoint is asked.")
    health_seconds: Annotated[float, Field(ge=0)] = Field(10, description="Seconds between two tries.")
    alert_slack_url: Secret | None = Field(None, description="Slack's incoming webhook that alerts go to.")
    alert_teams_url: SecretStr | None = Field(None, description="Microsoft Teams' webhook that alerts go to.")
    alert_discord_url: SecretStr | None = Field(None, description="Discord's webhook that alerts go to.")
    alert_webhook_url: Secret | None = Field(
        None, description="URL that alerts are posted to, as JSON with `subject`, `body` and `text`."
    )
    alert_email: str = Field("", description="Addresses that alerts go to, by SendGrid; commas between them.")
    alert_email_from: str = Field("", description="Sender of those mails.")
    sendgrid_api_key: Secret | None = Field(None, description="SendGrid's key for those mails.")
    alert_block: str = Field(
        "", description="Another notification block that alerts go to, as `type-slug/name`, made in the UI."
    )
    alert_stuck_seconds: Annotated[int, Field(ge=90)] = Field(
        300, description="Seconds without a heartbeat after which a running run counts as stuck."
    )
    alert_late_seconds: Annotated[int, Field(ge=10)] = Field(
        300, description="Seconds a run may wait as Late for a worker."
    )
    work_pool_type: WorkPoolType = Field(
        "process",
        description="Where runs of deployments are carried out: the type of work pools that `flowise-setup` makes.",
    )
    worker_image: str = Field(
        "", description="Image that runs use in `docker`, `kubernetes` and `ecs` pools: what `Dockerfile` builds."
    )
    work_pool_options: Annotated[dict[str, Any], NoDecode, BeforeValidator(_json)] = Field(
        {},
        description="What `flowise-setup` adds to the job configuration of its work pools, as JSON in Prefect's words:"
        ' `{"network_mode": "host"}`; `{pool}` stands for the pool\'s name.',
    )
    work_dir: Path = Field(
        default_factory=lambda: user_cache_path("flowise-delivery") / "work",
        description="Where fetched sources live while a run needs them; a private folder of this user's by default.",
    )

    @property
    def names(self) -> Names:
        """Names that derive from the application's."""
        return Names(self.application)

    def branch_of(self, environment: Environment) -> str:
        """Name the GitOps branch of an environment."""
        return self.gitops_branch.replace(PLACE, self.environment_names.get(environment, environment))

    def overlay_of(self, environment: Environment) -> str:
        """Name the folder of an environment's overlay."""
        one = PLACE in self.overlays_path or self.overlays_path.endswith("/.")
        path = self.overlays_path if one else f"{self.overlays_path}/{PLACE}"
        return path.replace(PLACE, self.environment_names.get(environment, environment))

    def argocd_application_of(self, environment: Environment) -> str:
        """Name an environment's Argo CD application."""
        return self.argocd_application.replace(PLACE, self.environment_names.get(environment, environment))

    def endpoint(self, environment: Environment) -> str:
        """Where an environment answers; empty where it is not known."""
        return str(getattr(self, f"{ENDPOINTS.get(environment, environment)}_endpoint", ""))

    def approvals(self, *, deployed: bool) -> tuple[Environment, ...]:
        """Return the environments that wait for an operator.

        Args:
            deployed: whether the run belongs to a deployment; without the setting, such runs ask for production.
        """
        if deployed and "approval_required" not in self.model_fields_set:
            return ASKED_BY_DEFAULT
        return self.approval_required

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
        InvalidInput: a value is not what it should be, or a host isn't trusted; the message names its variable.
    """
    try:
        settings = Settings(_secrets_dir=SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None)
    except ValidationError as error:
        said = "; ".join(f"{_name(*each['loc'])}: {each['msg']}" for each in error.errors())
        raise InvalidInput(f"The settings are not valid: {said}.", "They are read from the environment.") from None
    if unknown := strangers(dict(settings), settings.trusted_hosts):
        name, host = next(iter(unknown.items()))
        raise InvalidInput(
            f"{name.upper()} is on {host[:100]!r}, which isn't among TRUSTED_HOSTS: no credential is sent there.",
            "If that host is right, run flowise-setup with this setting, or add the host to your TRUSTED_HOSTS.",
        )
    return settings


def _name(variable: str | int, *inside: str | int) -> str:
    return ".".join(map(str, (str(variable).upper(), *inside)))
