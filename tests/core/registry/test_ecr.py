"""Amazon ECR, by its stand-in: moto's API and a real registry that holds images to its rules."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from tasks.core import git
from tasks.core.build.context import checkout
from tasks.core.build.publish import Options, build_and_push
from tasks.core.errors import AccessDenied, Conflict, DeliveryError, NotFound, Unavailable
from tasks.core.images import SERVER
from tasks.core.models import Target
from tasks.core.registry.ecr import Ecr, region_of
from tests.sandbox import ecr as sandbox
from tests.sandbox import repositories
from tests.sandbox.processes import free_port
from tests.sandbox.redirects import moved

ABSENT = f"sha256:{'0' * 64}"
HOST = "210987654321.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.fixture
def published(
    amazon: sandbox.Ecr, ecr_engine: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Build and push the server of a commit."""
    monkeypatch.setenv("DOCKER_HOST", ecr_engine)

    def publish(sha: str, log: Callable[[str], None] = lambda _: None, **options: Any) -> str:
        target = target_of(sha)
        with asking(amazon) as ecr, checkout(git.Remote(str(source)), sha, tmp_path) as commit:
            return build_and_push(SERVER, target, commit, ecr, Options(60, **options), log)

    return publish


def test_login_credentials_open_the_registry(amazon: sandbox.Ecr) -> None:
    amazon.create("login/app")
    with asking(amazon) as ecr:
        assert ecr.credentials() == ("AWS", amazon.password())
        # moto answers describe-images; the registry itself is asked by add_tag
        digest = amazon.images.push("login/app", "v1")
        ecr.add_tag("login/app", digest, "v2")
    assert amazon.images.digest("login/app", "v2") == digest


def test_a_missing_repository_is_told_with_the_way_out(amazon: sandbox.Ecr) -> None:
    with asking(amazon) as ecr, pytest.raises(NotFound) as failure:
        ecr.check("missing/app")
    assert "aws ecr create-repository --repository-name missing/app" in failure.value.hint
    assert "ECR_CREATE_REPOSITORIES=true" in failure.value.hint
    assert "missing/app" not in repositories_of(amazon)


def test_a_missing_repository_is_created_where_that_is_wanted(amazon: sandbox.Ecr) -> None:
    with asking(amazon, create=True) as ecr:
        ecr.check("created/app")
        assert "created/app" in repositories_of(amazon)
        ecr.check("created/app")
    with asking(amazon) as ecr:
        ecr.check("created/app")


def test_two_tasks_create_it_at_once() -> None:
    with stubbed(create=True) as (ecr, aws):
        account = {"registryId": HOST[:12]}
        asked, wanted = {"repositoryNames": ["app"], **account}, {"repositoryName": "app", **account}
        aws.add_client_error("describe_repositories", "RepositoryNotFoundException", expected_params=asked)
        aws.add_client_error("create_repository", "RepositoryAlreadyExistsException", expected_params=wanted)
        ecr.check("app")
        aws.assert_no_pending_responses()


def test_a_digest_by_tag_and_by_digest(amazon: sandbox.Ecr) -> None:
    amazon.create("asked/app")
    digest = put(amazon, "asked/app", "v1")
    with asking(amazon) as ecr:
        assert ecr.digest("asked/app", "v1") == digest
        assert ecr.digest("asked/app", digest) == digest
        assert ecr.digest("asked/app", "v2") is None
        assert ecr.digest("asked/app", ABSENT) is None
        with pytest.raises(NotFound, match="missing/app"):
            ecr.digest("missing/app", "v1")


CODES = {
    "AccessDeniedException": AccessDenied,
    "UnrecognizedClientException": AccessDenied,
    "InvalidSignatureException": AccessDenied,
    "ExpiredTokenException": AccessDenied,
    "ThrottlingException": Unavailable,
    "ServerException": Unavailable,
    "LimitExceededException": Unavailable,
}
CALLS: dict[str, Callable[[Ecr], object]] = {
    "describe_images": lambda ecr: ecr.digest("app", "v1"),
    "describe_repositories": lambda ecr: ecr.check("app"),
    "get_authorization_token": lambda ecr: ecr.credentials(),
}


@pytest.mark.parametrize(("code", "kind"), CODES.items())
@pytest.mark.parametrize("call", CALLS)
def test_what_aws_says(call: str, code: str, kind: type[DeliveryError]) -> None:
    with stubbed() as (ecr, aws):
        aws.add_client_error(call, code, "so it is", 400)
        with pytest.raises(DeliveryError, match="so it is") as failure:
            CALLS[call](ecr)
    assert type(failure.value) is kind
    assert HOST in failure.value.message


def test_a_missing_permission_is_named() -> None:
    said = (
        "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:DescribeImages on resource: "
        "arn:aws:ecr:eu-west-1:123456789012:repository/app because no identity-based policy allows it"
    )
    with stubbed() as (ecr, aws):
        aws.add_client_error("describe_images", "AccessDeniedException", said)
        with pytest.raises(AccessDenied, match=r"AWS doesn't allow ecr:DescribeImages for .*/app:v1") as failure:
            ecr.digest("app", "v1")
    assert "Allow ecr:DescribeImages in the IAM policy" in failure.value.hint


def test_a_repository_that_may_not_be_created() -> None:
    with stubbed(create=True) as (ecr, aws):
        aws.add_client_error("describe_repositories", "RepositoryNotFoundException")
        aws.add_client_error("create_repository", "AccessDeniedException")
        with pytest.raises(AccessDenied, match="app"):
            ecr.check("app")


@pytest.mark.parametrize("call", CALLS)
def test_nobody_listens(call: str) -> None:
    client = aws_client(endpoint_url=f"http://127.0.0.1:{free_port()}")
    with closing(Ecr(HOST, client)) as ecr, pytest.raises(Unavailable, match=HOST):
        CALLS[call](ecr)


def test_a_redirect_is_not_followed() -> None:
    with moved(307) as servers:
        client = aws_client(endpoint_url=servers.url)
        with closing(Ecr(HOST, client)) as ecr, pytest.raises(DeliveryError):
            ecr.digest("app", "v1")
    assert servers.seen == []


def test_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    client = boto3.session.Session(region_name="eu-central-1").client("ecr")
    with closing(Ecr(HOST, client)) as ecr, pytest.raises(AccessDenied) as failure:
        ecr.digest("app", "v1")
    assert "AWS_ACCESS_KEY_ID" in failure.value.hint


def test_a_login_with_a_colon_in_its_password() -> None:
    with stubbed() as (ecr, aws):
        token = base64.b64encode(b"AWS:pass:word").decode()
        aws.add_response("get_authorization_token", {"authorizationData": [{"authorizationToken": token}]})
        assert ecr.credentials() == ("AWS", "pass:word")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-central-1"),
        ("210987654321.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("registry.example.com", None),
    ],
)
def test_the_region_is_in_the_name(host: str, region: str | None) -> None:
    assert region_of(host) == region


def test_a_whole_build(amazon: sandbox.Ecr, source: Path, published: Callable[..., str]) -> None:
    amazon.create(SERVER.name)
    sha = repositories.head(source)
    digest = published(sha)
    assert described(amazon) == dict.fromkeys((f"dev-{sha[:7]}", sha), digest)
    assert amazon.images.digest(SERVER.name, sha) == digest


def test_immutable_tags(amazon: sandbox.Ecr, source: Path, published: Callable[..., str]) -> None:
    amazon.create(SERVER.name, immutable=True)
    older = repositories.git(source, "rev-parse", "main~2").decode().strip()
    newer = repositories.head(source)
    first, second = published(older), published(newer)
    assert first != second
    assert described(amazon) == {
        f"dev-{older[:7]}": first,
        older: first,
        f"dev-{newer[:7]}": second,
        newer: second,
    }


def test_an_image_that_is_built_again_beside_immutable_tags(
    amazon: sandbox.Ecr, source: Path, published: Callable[..., str]
) -> None:
    amazon.create(SERVER.name, immutable=True)
    sha, lines = repositories.head(source), list[str]()
    first = published(sha, inputs="inputs-1")
    again = published(sha, lines.append, inputs="inputs-1", again=True)
    assert again != first
    tags = described(amazon)
    own = [tag for tag, digest in tags.items() if digest == again]
    assert [re.sub("[0-9a-f]{8}$", "", tag) for tag in own] == [f"{sha}-again-"]
    assert tags == {f"dev-{sha[:7]}": first, sha: first, "inputs-1": first, own[0]: again}
    stayed = [line for line in lines if line.endswith("It stays as it is.")]
    assert [line.split()[0].rpartition(":")[2] for line in stayed] == [f"dev-{sha[:7]}", sha, "inputs-1"]


def test_a_commits_tag_that_means_another_image(
    amazon: sandbox.Ecr, source: Path, published: Callable[..., str]
) -> None:
    amazon.create(SERVER.name, immutable=True)
    sha = repositories.head(source)
    other = put(amazon, SERVER.name, sha)
    with pytest.raises(Conflict) as failure:
        published(sha)
    assert f"{SERVER.name}:{sha}" in failure.value.message
    assert described(amazon) == {sha: other}


def test_a_missing_repository_stops_before_the_build(
    amazon: sandbox.Ecr, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_port()}")
    sha = repositories.head(source)
    where, missing = git.Remote(str(source)), pytest.raises(NotFound, match=SERVER.name)
    with asking(amazon) as ecr, checkout(where, sha, tmp_path) as commit, missing:
        build_and_push(SERVER, target_of(sha), commit, ecr, Options(60), lambda _: None)


def target_of(sha: str) -> Target:
    return Target(environment="dev", sha=sha, tag=f"dev-{sha[:7]}", node_version="20")


@contextmanager
def asking(amazon: sandbox.Ecr, *, create: bool = False) -> Iterator[Ecr]:
    with closing(Ecr(amazon.registry, amazon.client, create=create)) as ecr:
        yield ecr


@contextmanager
def stubbed(*, create: bool = False) -> Iterator[tuple[Ecr, Stubber]]:
    client = aws_client()
    with closing(Ecr(HOST, client, create=create)) as ecr, Stubber(client) as aws:
        yield ecr, aws


def aws_client(**options: str) -> Any:
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=5)
    return boto3.session.Session("key", "secret", region_name="eu-central-1").client("ecr", config=once, **options)


def put(amazon: sandbox.Ecr, repository: str, tag: str) -> str:
    """An image that both the registry and ``describe-images`` know."""
    digest = amazon.images.push(repository, tag, "by another hand")
    manifest = json.dumps(amazon.images.manifest(repository, digest))
    amazon.client.put_image(repositoryName=repository, imageManifest=manifest, imageTag=tag, imageDigest=digest)
    return digest


def repositories_of(amazon: sandbox.Ecr) -> set[str]:
    return {each["repositoryName"] for each in amazon.client.describe_repositories()["repositories"]}


def described(amazon: sandbox.Ecr) -> dict[str, str]:
    """Digest by tag, as ``describe-images`` has them."""
    details = amazon.client.describe_images(repositoryName=SERVER.name)["imageDetails"]
    return {tag: each["imageDigest"] for each in details for tag in each.get("imageTags", ()) if tag != "buildcache"}
