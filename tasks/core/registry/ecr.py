"""Amazon ECR: an OCI registry whose repositories, logins and digests AWS's own API answers for."""

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from tasks.core.errors import AccessDenied, DeliveryError, NotFound, Unavailable
from tasks.core.registry.errors import CAUSES, cause, rejection
from tasks.core.registry.oci import Credentials, Registry
from tasks.core.system.http import within

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

NAME = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.")

DENIED = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredTokenException",
        "ExpiredToken",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    )
)
"""Error codes that say no to the credentials (ECR API reference, "Common errors")."""

PERMISSIONS = [each for each in CAUSES if each.kind is AccessDenied and "action" in each.words]
"""What is said if the credentials are good, and a policy doesn't allow the call."""


SECONDS = 120
"""For one question and boto3's own repetitions of it, whose timeouts are for each step of each of them."""

T = TypeVar("T")


def region_of(host: str) -> str | None:
    """Return the region in an ECR registry's name."""
    found = NAME.match(host)
    return found["region"] if found else None


class Ecr(Registry):
    """An ECR registry.

    Args:
        host: the registry's name.
        client: boto3's ECR client.
        create: whether a missing repository is created.
    """

    def __init__(self, host: str, client: "ECRClient", *, create: bool = False) -> None:
        super().__init__(host)
        self._client, self._create = client, create
        found = NAME.match(host)
        self._account: dict[str, Any] = {"registryId": found["account"]} if found else {}

    def credentials(self) -> Credentials:
        """Return a login token, good for 12 hours.

        Raises:
            AccessDenied, Unavailable: as AWS answers.
        """
        try:
            answer = _asked(self._client.get_authorization_token)
        except (ClientError, BotoCoreError) as error:
            raise self._explain_aws(error, "its login token") from None
        token = answer["authorizationData"][0]["authorizationToken"]
        user, _, password = base64.b64decode(token).decode().partition(":")
        return user, password

    def check(self, repository: str) -> None:
        """Make sure that the repository exists, by creating it where that is wanted.

        Raises:
            NotFound: it does not, and is not to be created.
            AccessDenied, Unavailable: as AWS answers.
        """
        try:
            _asked(lambda: self._client.describe_repositories(repositoryNames=[repository], **self._account))
        except self._client.exceptions.RepositoryNotFoundException:
            self._missing(repository)
        except (ClientError, BotoCoreError) as error:
            raise self._explain_aws(error, repository) from None

    def _missing(self, repository: str) -> None:
        if not self._create:
            raise NotFound(
                f"ECR has no repository {repository} in {self.host}.",
                f"Create it with `aws ecr create-repository --repository-name {repository}`, "
                "or set ECR_CREATE_REPOSITORIES=true.",
            )
        try:
            _asked(lambda: self._client.create_repository(repositoryName=repository, **self._account))
        except self._client.exceptions.RepositoryAlreadyExistsException:
            return  # the other image's task, or another run, was faster
        except (ClientError, BotoCoreError) as error:
            raise self._explain_aws(error, repository) from None

    def digest(self, repository: str, reference: str) -> str | None:
        """Return the digest that ``describe-images`` answers, or ``None`` when ECR says there is no such image.

        Raises:
            NotFound: there is no such repository.
            AccessDenied, Unavailable: as AWS answers.
        """
        key = "imageDigest" if reference.startswith("sha256:") else "imageTag"
        try:
            answer = _asked(
                lambda: self._client.describe_images(
                    repositoryName=repository,
                    imageIds=[{key: reference}],  # type: ignore[misc]
                    **self._account,
                )
            )
        except self._client.exceptions.ImageNotFoundException:
            return None
        except self._client.exceptions.RepositoryNotFoundException:
            raise NotFound(f"ECR has no repository {repository} in {self.host}.", "Create it first.") from None
        except (ClientError, BotoCoreError) as error:
            raise self._explain_aws(error, f"{repository}:{reference}") from None
        return answer["imageDetails"][0]["imageDigest"]

    def _explain_aws(self, error: ClientError | BotoCoreError, what: str) -> DeliveryError:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        if (why := cause(str(error))) in PERMISSIONS:
            return rejection(why, f"{self.host}/{what}", str(error))
        if code in DENIED or code in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
            return AccessDenied(
                f"AWS refused to answer for {what} in {self.host}: {error}",
                "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the role, or the AwsCredentials block.",
            )
        return Unavailable(f"AWS could not answer for {what} in {self.host}: {error}")


def _asked(call: Callable[[], T]) -> T:
    try:
        return within(SECONDS, call)
    except TimeoutError:
        raise ReadTimeoutError(endpoint_url="ECR's API") from None
