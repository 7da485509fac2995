"""An OCI registry, asked over its own API: which digest a tag has, and one more tag for a digest.

By hand with httpx: the four calls of the distribution specification that are needed here are fewer lines than
an adapter around any of the packages that have them, and only "not found" may ever mean absent.
"""

import hashlib
import ipaddress
import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import httpx

from tasks.core.errors import (
    AccessDenied,
    Conflict,
    DeliveryError,
    InvalidInput,
    LimitReached,
    LoginExpired,
    NotFound,
    Terminal,
    Unavailable,
)
from tasks.core.registry.docker_config import IDENTITY, docker_login
from tasks.core.registry.errors import FAILED, MAY_NOT_PULL, cause, of_kind, rejection
from tasks.core.registry.tls import CERTS_D, trusted, unverified
from tasks.core.system import interruption
from tasks.core.system.http import request_with_deadline

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
"""Every kind of manifest a tag can have. Without this header a registry converts, and the digest is another one."""

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")

MAX_PORT = 65535

LARGEST = 8 * 1024 * 1024
"""Bytes of an answer that are read; registries take manifests of up to 4 MiB."""

MOVING = "latest"
"""The one tag that is expected to change its meaning."""

DIGEST = "docker-content-digest"

ABSENT = {"GET": (httpx.codes.NOT_FOUND,), "HEAD": (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)}
"""Answers that are no failures."""

PATIENCE = 120
"""Seconds to wait at most for a registry that says when to come again."""

Credentials = tuple[str, str]


class Registry:
    """A registry, for use with ``contextlib.closing``.

    Args:
        host: ``host[:port]``.
        timeout: seconds one call may take.
        plain_http: speak HTTP without TLS, as with registries on this machine that have none.
        ca_file: more certificates that the registry's may come from.

    Raises:
        InvalidInput: ``host`` is not a host, or ``ca_file`` has no certificates.
    """

    def __init__(self, host: str, timeout: float = 30, *, plain_http: bool = False, ca_file: str = "") -> None:
        if not _is_host(host):
            raise InvalidInput(
                f"ECR_REGISTRY {host[:100]!r} is not a registry's host.", "Give host or host:port, without https://."
            )
        self.host = host
        self._here, self._plain, self._timeout = on_loopback(host), plain_http, timeout
        self._http = httpx.Client(
            verify=unverified() if self._here else trusted(host, ca_file),
            trust_env=not self._here,  # as Docker: through the environment's proxy, but not to this machine itself
        )
        self._authorization: dict[str, str] = {}
        self._accepted = False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def credentials(self) -> Credentials | None:
        """User name and password: what ``docker login`` left on this machine, or ``None``.

        Raises:
            AccessDenied: there is something, but it cannot be read.
        """
        return docker_login(self.host)

    def check(self, repository: str) -> None:
        """Make sure, before anything is built, that the registry answers and accepts these credentials.

        Raises:
            AccessDenied, NotFound, Unavailable: as the registry answers.
        """
        if self._call("GET", "", repository).status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"{self.host} answers, but is no OCI registry.", "Check ECR_REGISTRY.")
        self._accepted = bool(self._authorization)

    def digest(self, repository: str, reference: str) -> str | None:
        """Return the digest of a tag (or digest) in the registry, or ``None`` if the registry says there is none.

        Raises:
            AccessDenied, Unavailable: the registry gave no answer to the question.
        """
        path = f"{repository}/manifests/{reference}"
        answer = self._call("HEAD", path, repository, {"Accept": MANIFESTS})
        if DIGEST not in answer.headers and answer.status_code != httpx.codes.NOT_FOUND:
            # Neither that header nor HEAD itself is known to all registries: the digest is the manifest's own hash.
            answer = self._call("GET", path, repository, {"Accept": MANIFESTS})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if digest := answer.headers.get(DIGEST):
            return str(digest)
        if not answer.content.lstrip().startswith(b"{"):
            raise Unavailable(f"{self.host} names no digest for {repository}:{reference}.", "Is it an OCI registry?")
        return f"sha256:{hashlib.sha256(answer.content).hexdigest()}"

    def add_tag(self, repository: str, digest: str, tag: str) -> None:
        """Point a tag at an image that is already there; no layer is sent.

        Raises:
            NotFound: the registry does not have the digest.
            Conflict: the tag is immutable and means another image.
            AccessDenied, Unavailable: as the registry answers.
        """
        manifest = self._call("GET", f"{repository}/manifests/{digest}", repository, {"Accept": MANIFESTS})
        if manifest.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"{self.host} has no {repository}@{digest}.", "Run again with force, to build it again.")
        put = self._call(
            "PUT",
            f"{repository}/manifests/{tag}",
            repository,
            {"Content-Type": manifest.headers["content-type"]},
            manifest.content,
        )
        if put.status_code != httpx.codes.CREATED and self.digest(repository, tag) != digest:  # a proxy's page, say
            raise Unavailable(f"{self.host} answers {put.status_code}, but {repository}:{tag} is not at {digest}.")

    def _call(
        self, method: str, path: str, repository: str, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> httpx.Response:
        answer = self._send(method, path, headers, content)
        if answer.status_code == httpx.codes.UNAUTHORIZED or (self._authorization and _expired(answer)):
            self._authorization = {"Authorization": self._answer_challenge(answer, repository)}
            answer = self._send(method, path, headers, content)
        if answer.is_success or answer.status_code in ABSENT.get(method, ()):
            return answer
        raise self._explain(answer, repository, path)

    def _send(self, method: str, path: str, headers: Mapping[str, str] | None, content: bytes) -> httpx.Response:
        given, end = {**(headers or {}), **self._authorization}, time.monotonic() + PATIENCE
        try:
            while True:
                answer = self._exchange(method, f"{self._base}{path}", headers=given, content=content)
                pause = _retry_after(answer)
                if pause is None or time.monotonic() + pause > end:
                    return answer
                interruption.pause(pause, f"Waiting for {self.host}")
        except httpx.HTTPError as error:
            raise self._unreachable(str(error) or type(error).__name__) from None

    @cached_property
    def _base(self) -> str:
        """Where the API begins. A registry on this machine may speak TLS or not, and is asked, without a login."""
        plain, secure = f"http://{self.host}/v2/", f"https://{self.host}/v2/"
        if self._plain or not self._here:
            return plain if self._plain else secure
        with suppress(httpx.RemoteProtocolError, httpx.ReadError):
            answer = self._exchange("GET", plain)
            if answer.status_code != httpx.codes.BAD_REQUEST and not _leads_to(answer, "https://"):
                return plain
        with suppress(httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
            self._exchange("GET", secure)
            return secure
        return plain

    def _unreachable(self, why: str) -> DeliveryError:
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return Terminal(
                f"The certificate of the registry {self.host} isn't trusted: {why}.",
                f"Set REGISTRY_CA_FILE to its CA's certificate, or put that into {CERTS_D / self.host}/ca.crt.",
            )
        if "WRONG_VERSION_NUMBER" in why or "RECORD_LAYER_FAILURE" in why:
            return Terminal(
                f"The registry {self.host} doesn't speak TLS: {why}.",
                "If it is to be used over plain HTTP, set REGISTRY_PLAIN_HTTP=true, and list it in the engine's"
                " insecure-registries.",
            )
        return Unavailable(
            f"The registry {self.host} cannot be reached: {why.rstrip('.')}.", "Check ECR_REGISTRY and the network."
        )

    def _exchange(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:  # noqa: ANN401
        return request_with_deadline(self._http, method, url, self._timeout, LARGEST, **options)

    def _answer_challenge(self, answer: httpx.Response, repository: str) -> str:
        """Return the Authorization that a 401 asks for (distribution specification, "Authentication")."""
        challenge = answer.headers.get("www-authenticate", "")
        credentials = self.credentials()
        if challenge.lower().startswith("bearer "):
            token = self._token(challenge, repository, credentials)
            self._accepted = credentials is not None  # the token server has checked them
            return f"Bearer {token}"
        if credentials is None:
            raise AccessDenied(
                f"The registry {self.host} wants credentials, and there are none.",
                f"Run docker login {self.host} on the machine that runs this.",
            )
        return str(httpx.BasicAuth(*credentials)._auth_header)

    def _token(self, challenge: str, repository: str, credentials: Credentials | None) -> str:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {"service": fields.get("service", ""), "scope": f"repository:{repository}:pull,push"}
        try:
            realm = httpx.URL(fields["realm"])
            if credentials and realm.scheme != "https" and not self._may_hear(realm):
                raise AccessDenied(
                    f"The registry {self.host} asks for its credentials over plain HTTP, at {realm.host}.",
                    "They were not sent. Make its token server use HTTPS.",
                )
            if credentials and credentials[0] == IDENTITY:  # as RFC 6749, section 6
                form = query | {"grant_type": "refresh_token", "refresh_token": credentials[1], "client_id": "docker"}
                answer = self._exchange("POST", realm, data=form)
            else:
                answer = self._exchange("GET", realm, params=query, auth=credentials)
            if not answer.is_success:
                raise self._explain(answer, repository, "token")
            body = answer.json()
            return str(body.get("token") or body["access_token"])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
            raise Unavailable(f"The token server of {self.host} gave no token: {error!r}.") from None

    def _may_hear(self, realm: httpx.URL) -> bool:
        """Whether a token server may get the login without TLS: on this machine, or as the registry itself does."""
        base = httpx.URL(self._base)
        return on_loopback(realm.netloc.decode()) or (base.scheme == "http" and realm.host == base.host)

    def _explain(self, answer: httpx.Response, repository: str, path: str) -> DeliveryError:
        if answer.has_redirect_location:
            to = answer.headers["location"].partition("?")[0]
            return InvalidInput(
                f"{answer.url.host} redirects {self.host}/{repository} to {to:.200}.",
                "Set ECR_REGISTRY to the registry's own host. Redirects are not followed, because of the credentials.",
            )
        said = f"{answer.status_code} {_message(answer)}".strip()
        what, words = f"{self.host}/{repository}", said.replace(repository, "")
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            known, reads = cause(words), answer.request.method in ABSENT and "/manifests/" in path
            if reads and self._accepted and known in (FAILED, of_kind(AccessDenied), cause("denied")):
                return rejection(MAY_NOT_PULL, what, said)
            denied = known if issubclass(known.kind, (AccessDenied, LimitReached)) else of_kind(AccessDenied)
            return rejection(of_kind(LoginExpired) if _expired(answer) else denied, what, said)
        if (known := cause(words)).kind in (Conflict, LimitReached, Terminal):
            return rejection(known, f"{what}:{path.rpartition('/')[2]}", said)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return rejection(cause("too many requests"), what, said)
        return rejection(of_kind(NotFound) if answer.status_code == httpx.codes.NOT_FOUND else FAILED, what, said)


def _expired(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.FORBIDDEN and cause(_message(answer)).kind is LoginExpired


def _leads_to(answer: httpx.Response, scheme: str) -> bool:
    return answer.has_redirect_location and str(answer.headers["location"]).startswith(scheme)


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds that a busy registry asks to wait (RFC 9110, "Retry-After"); ``None`` if it doesn't ask."""
    said = str(answer.headers.get("retry-after", ""))
    if answer.status_code not in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE) or not said:
        return None
    try:
        at = parsedate_to_datetime(said).timestamp() - time.time() if not said.isdecimal() else float(said)
    except ValueError:
        return None
    return max(1.0, at)


def _message(answer: httpx.Response) -> str:
    try:
        errors: Iterable[Mapping[str, object]] = answer.json()["errors"]
        return "; ".join(f"{each.get('code', '')} {each.get('message', '')}".strip() for each in errors)
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _is_host(text: str) -> bool:
    try:
        address = httpx.URL(f"https://{text}") if HOST.fullmatch(text) else None
        # "a..b" and labels of more than 63 characters are names that no DNS can have.
        return bool(address and address.host.encode("idna") and (address.port or 0) <= MAX_PORT)
    except (httpx.InvalidURL, UnicodeError):
        return False


def is_ecr(host: str) -> bool:
    """Whether a registry's host is an Amazon ECR registry's (``ACCOUNT.dkr.ecr.REGION.amazonaws.com``)."""
    return ".dkr.ecr." in host or ".dkr.ecr-fips." in host


def on_loopback(host: str) -> bool:
    """Whether a registry is on this machine: Docker, too, speaks plain HTTP to those and to no others."""
    name = re.sub(r":[0-9]+$", "", host).strip("[]")
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError):  # the latter for a name that no DNS can have
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in found)
