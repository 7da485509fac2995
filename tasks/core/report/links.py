"""Where a browser finds what a summary names. What is not known to be on the web has no address, and no link."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.core.errors import InvalidInput
from tasks.core.git import ON_GITHUB, web_url
from tasks.core.models import DeployResult, Environment, UpdateResult
from tasks.core.settings import Settings
from tasks.core.system.address import http_url
from tasks.core.text import literal

A_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ON_A_SERVER = re.compile(r"https?://(?P<path>[^@?#\s()]+?)(\.git)?/?")
OVER_SSH = re.compile(r"(ssh://)?git@(?P<host>[\w.-]+)[:/](?P<name>[\w./-]+?)(\.git)?/?")
IN_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[a-z0-9._/-]+)"
)


def of_deploy(result: DeployResult, settings: Settings) -> str:
    """Return a line with links to the source commit, the images, and where the second flow ran inline, what it did."""
    images, host = result.images, settings.ecr_registry.partition("/")[0]
    return _line(
        (f"source commit {result.sha[:7]}", commit(settings.source_repo, settings, result.sha)),
        *((image.repository, in_ecr(f"{host}/{image.repository}")) for image in images),
        *(_update(result.update, settings) if result.update else ()),
    )


def of_update(result: UpdateResult, settings: Settings) -> str:
    """Return a line with links to the GitOps commit, the images and Argo CD's application."""
    images = ((each.name, in_ecr(each.new_name or each.name)) for each in result.images)
    return _line(*images, *_update(result, settings))


def commit(repository: str, settings: Settings, sha: str) -> str:
    """Return the page of a commit, which GitHub, Gitea and GitLab have at the same place."""
    if ON_GITHUB.fullmatch(repository):
        repository = f"{web_url(settings.github_api_url)}/{repository}"
    elif found := OVER_SSH.fullmatch(repository):
        repository = f"https://{found['host']}/{found['name']}"
    found = ON_A_SERVER.fullmatch(repository)
    scheme = repository.partition("://")[0]
    return f"{scheme}://{found['path']}/commit/{sha}" if found and sha else ""


def in_ecr(image: str) -> str:
    """Return the page of an image's repository in AWS's console; other registries have none that all of them share."""
    found = IN_ECR.fullmatch(image)
    if not found:
        return ""
    region, account, name = found["region"], found["account"], found["name"]
    return f"https://{region}.console.aws.amazon.com/ecr/repositories/private/{account}/{name}?region={region}"


def application(environment: Environment, settings: Settings) -> str:
    """Return the page of an environment's application in Argo CD."""
    if not settings.argocd_server:
        return ""
    try:
        path = "/".join(
            filter(None, ("applications", settings.argocd_namespace, settings.argocd_application_of(environment)))
        )
        return str(http_url(settings.argocd_server, path, "ARGOCD_SERVER"))
    except InvalidInput:  # the rollout says so, where it is wanted
        return ""


def _update(result: UpdateResult, settings: Settings) -> Iterator[tuple[str, str]]:
    yield f"GitOps commit {result.commit[:7]}", commit(settings.gitops_repo, settings, result.commit)
    yield f"{settings.argocd_application_of(result.environment)} in Argo CD", application(result.environment, settings)


def _line(*links: tuple[str, str]) -> str:
    shown = " · ".join(f"[{name}]({address})" for name, address in links if address)
    return f"\n{shown}\n" if shown else ""


@dataclass(frozen=True)
class Web:
    """Addresses of what a deployment is made of; empty for what is not known to be on the web.

    Args:
        settings: name the repositories and Argo CD.
        ui: the Prefect UI's address.
    """

    settings: Settings
    ui: str = ""

    def source(self, sha: str) -> str:
        """Return the page of a source commit."""
        return commit(self.settings.source_repo, self.settings, sha)

    def gitops(self, sha: str) -> str:
        """Return the page of a GitOps commit."""
        return commit(self.settings.gitops_repo, self.settings, sha)

    def run(self, run: str) -> str:
        """Return the page of the run that deployed: Prefect's by its id, else GitHub Actions' by its number."""
        if A_RUN.fullmatch(run):
            return f"{self.ui}/runs/flow-run/{run}" if self.ui else ""
        source = self.settings.source_repo
        known = run.isdecimal() and ON_GITHUB.fullmatch(source)
        return f"{web_url(self.settings.github_api_url)}/{source}/actions/runs/{run}" if known else ""

    def link(self, shown: str, address: str) -> str:
        """Return a Markdown link, or what is shown alone if there is no address."""
        return f"[{shown}]({address})" if address else shown

    def commits(self, lines: Iterable[str]) -> Iterator[str]:
        """Return the lines of ``source_commits.between`` as a Markdown list with links."""
        for sign, sha, subject in (line.split(" ", 2) for line in lines):
            gone = "**goes away:** " if sign == "-" else ""
            yield f"- {gone}{self.link(f'`{sha}`', self.source(sha))} {literal(subject)}"
