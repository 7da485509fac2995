"""Clients of the systems that tasks talk to, with the credentials of a Prefect block if there is one.

A block is asked for by name and imported only when it exists: the packages behind the blocks are slow to load.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from pydantic import SecretStr, ValidationError

from tasks.core import git
from tasks.core.build.context import Policy
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.git.branch import Identity
from tasks.core.gitops.commit_message import MessageStyle
from tasks.core.gitops.repository import GitOps
from tasks.core.images import ImageSpec
from tasks.core.models import ENVIRONMENTS, Environment
from tasks.core.registry.oci import Registry, is_ecr
from tasks.core.settings import Settings
from tasks.runtime.server import patiently

if TYPE_CHECKING:
    from tasks.core.gitprovider.github import GitHub


def source_repository(settings: Settings) -> git.Remote:
    """Return the source repository.

    Raises:
        InvalidInput: ``SOURCE_REPO`` is not set, or is not a repository.
    """
    settings.require("source_repo")
    where = _without_token(settings, settings.source_repo)
    if token := source_token(settings):
        return _with_token(where, token)
    ours = _origin(where) in _gitops_origins(settings)
    return _with_token(where, gitops_token(settings), settings.gitops_username) if ours else where


def files_elsewhere(settings: Settings) -> Policy:
    """Return what happens to files that git keeps outside of the source's commits."""
    return Policy(settings.source_submodules, settings.source_lfs)


def gitops_repository(settings: Settings) -> git.Remote:
    """Return the GitOps repository.

    Raises:
        InvalidInput: ``GITOPS_REPO`` is not set, or is not a repository.
    """
    settings.require("gitops_repo")
    where = _without_token(settings, settings.gitops_repo)
    return _with_token(where, gitops_token(settings), settings.gitops_username)


def overlays(settings: Settings, environment: Environment) -> GitOps:
    """Return the overlays in the GitOps repository, and how an environment's is changed.

    Raises:
        InvalidInput: ``GITOPS_REPO`` is not set, or is not a repository.
    """
    return GitOps(
        where=gitops_repository(settings),
        branch=settings.branch_of(environment),
        branches={each: settings.branch_of(each) for each in ENVIRONMENTS},
        overlays={each: settings.overlay_of(each) for each in ENVIRONMENTS},
        work_dir=settings.work_dir,
        source=source_repository(settings) if settings.source_repo else None,
        images=settings.images,
        propose=environment in settings.pull_requests,
        registries=settings.image_registries,
        style=message_style(settings),
        identity=Identity(settings.commit_author, settings.commit_signing_key),
        render=settings.render,
    )


def message_style(settings: Settings) -> MessageStyle:
    """Return what is added to the messages of GitOps commits."""
    return MessageStyle(application=settings.application, prefix=settings.commit_prefix, lines=settings.commit_lines)


def registry(settings: Settings, host: str = "", timeout: float = 30) -> Registry:
    """Return the registry, by its name ECR or a plain one; that of ``ECR_REGISTRY`` unless another host is given.

    Raises:
        InvalidInput: ``ECR_REGISTRY`` is not set, or is not a host.
    """
    settings.require("ecr_registry")
    host = (host or settings.ecr_registry).partition("/")[0]
    if not is_ecr(host):
        plain = settings.registry_plain_http and host == settings.ecr_registry.partition("/")[0]
        return Registry(host, timeout, plain_http=plain, ca_file=settings.registry_ca_file)
    from tasks.core.registry.ecr import Ecr  # noqa: PLC0415 - boto3 is slow to load and only ECR needs it

    return Ecr(host, _ecr_client(settings), create=settings.ecr_create_repositories)


def image_in_registry(settings: Settings, image: ImageSpec) -> ImageSpec:
    """Return an image's description with the registry's project in front of its name.

    Raises:
        InvalidInput: ``ECR_REGISTRY`` has something else than a project behind its host.
    """
    _, slash, project = settings.ecr_registry.partition("/")
    try:
        return ImageSpec(**{**dict(image), "name": f"{project}/{image.name}"}) if slash else image
    except ValidationError:
        raise InvalidInput(
            f"ECR_REGISTRY {settings.ecr_registry[:100]!r} has no project behind its host.",
            "Give host[:port], or host[:port]/project in lower case.",
        ) from None


def gitops_token(settings: Settings) -> SecretStr | None:
    """Return the GitOps repository's token: its GitHub App's, else that of its block, else ``GITOPS_TOKEN``.

    Raises:
        InvalidInput, NotFound, AccessDenied, Unavailable: as GitHub answers, if there is an App.
    """
    return (
        _app_token(settings, settings.gitops_repo)
        or _block_token(settings.github_credentials_block)
        or settings.gitops_token
    )


def source_token(settings: Settings) -> SecretStr | None:
    """Return the source repository's own token: that of its block, else ``SOURCE_TOKEN``, else the GitHub App's.

    Raises:
        InvalidInput, AccessDenied, Unavailable: as GitHub answers, if there is an App.
    """
    if own := _block_token(settings.source_credentials_block) or settings.source_token:
        return own
    with suppress(NotFound):  # the App need not be installed on a public repository
        return _app_token(settings, settings.source_repo)
    return None


def _app_token(settings: Settings, repository: str) -> SecretStr | None:
    if not settings.github_app_private_key or not git.ON_GITHUB.fullmatch(repository):
        return None
    settings.require("github_app_id")
    from tasks.core.gitprovider.github_app import App, installation_token  # noqa: PLC0415

    key, installation = settings.github_app_private_key, settings.github_app_installation_id
    return installation_token(App(settings.github_app_id, key, installation, settings.github_api_url), repository)


def github(settings: Settings, repository: str, **options: int) -> "GitHub":
    """Return a repository on GitHub; ``options`` are those of :class:`tasks.core.gitprovider.github.GitHub`.

    Raises:
        InvalidInput: it is not one, or there is no token.
    """
    from tasks.core.gitprovider.github import GitHub  # noqa: PLC0415 - PyGithub is slow to load

    name = git.github_name(repository, settings.github_api_url)
    token = source_token(settings) if repository == settings.source_repo else None
    return GitHub(name, token or gitops_token(settings), settings.github_api_url, names=settings.names, **options)


def _with_token(where: git.Remote, token: SecretStr | None, user: str = "") -> git.Remote:
    http = where.url.startswith(("http://", "https://"))
    return git.Remote(where.url, token, where.timeout, user or git.user_of(where.url)) if http and token else where


def _gitops_origins(settings: Settings) -> set[tuple[str, str]]:
    # GITOPS_TOKEN is GitHub's, or the GitOps repository's server's: no other server is to see it.
    return {_origin(_without_token(settings, known)) for known in ("owner/name", settings.gitops_repo)}


def _without_token(settings: Settings, repository: str) -> git.Remote:
    return git.remote(repository, None, settings.github_api_url, settings.git_timeout)


def _origin(where: git.Remote) -> tuple[str, str]:
    address = urlsplit(where.url)
    return address.scheme, address.netloc


def _block_token(name: str) -> SecretStr | None:
    if not block_exists("github-credentials", name):
        return None
    from prefect_github import GitHubCredentials  # noqa: PLC0415

    token = patiently(lambda: GitHubCredentials.load(name)).token
    # Secrets that are made with echo end in a line break.
    return SecretStr(token.get_secret_value().strip()) if token else None


def _ecr_client(settings: Settings) -> Any:  # noqa: ANN401 - boto3 makes the class at run time
    from tasks.core.registry.ecr import region_of  # noqa: PLC0415

    region = settings.aws_region or region_of(settings.ecr_registry)
    if block_exists("aws-credentials", settings.aws_credentials_block):
        from prefect_aws import AwsCredentials  # noqa: PLC0415

        block = patiently(lambda: AwsCredentials.load(settings.aws_credentials_block))
        credentials = cast(AwsCredentials, block)
        credentials.region_name = credentials.region_name or region
        return credentials.get_client("ecr")
    import boto3  # noqa: PLC0415

    return boto3.Session().client("ecr", region_name=region)  # not the default session: it remembers old keys


def block_exists(block_type: str, name: str) -> bool:
    """Return whether Prefect has a block of this type and name; outside of a run without a server it has none."""
    if not PREFECT_API_URL.value() and not (FlowRunContext.get() or TaskRunContext.get()):
        return False  # outside of a run, asking would start Prefect's temporary server

    def read() -> bool:
        with get_client(sync_client=True) as client:
            try:
                client.read_block_document_by_name(name, block_type)
            except ObjectNotFound:
                return False
        return True

    return patiently(read)
