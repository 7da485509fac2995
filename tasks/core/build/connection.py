"""A connection to the Docker Engine that the docker command would use."""

import hashlib
import json
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import docker
import requests
import urllib3
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.errors import DockerException, StreamParseError
from docker.tls import TLSConfig

from tasks.core.build.ssh_dialer import SSHAdapter
from tasks.core.errors import InvalidInput, Unavailable
from tasks.core.registry.docker_config import docker_config, docker_folder
from tasks.core.system.http import within

OLDEST = (1, 39)
"""Docker 18.09's API, the first that builds with BuildKit."""

LOCAL = f"unix://{DEFAULT_UNIX_SOCKET.removeprefix('http+unix://')}"


SSH = "ssh://"


class Endpoint(NamedTuple):
    """Where an engine listens, as in ``DOCKER_HOST``, and how to trust it."""

    host: str
    tls: TLSConfig | None = None


@contextmanager
def connect(timeout: int) -> Iterator[docker.APIClient]:
    """Connect to the engine; ``timeout`` limits the seconds it may be silent.

    Raises:
        InvalidInput: it can't build, or the docker context doesn't exist.
        Unavailable: no engine answers there, or it stopped answering.
    """
    endpoint = find_engine()
    client = _client(endpoint, timeout)
    try:
        yield client
    except (requests.RequestException, urllib3.exceptions.HTTPError, StreamParseError) as error:
        raise Unavailable(
            f"The Docker Engine at {endpoint.host} stopped answering: {error}.", "Check if it was restarted."
        ) from None
    finally:
        client.close()


def find_engine() -> Endpoint:
    """Find the engine in the docker command's order: DOCKER_HOST, DOCKER_CONTEXT, the current context, this machine.

    Raises:
        InvalidInput: the context doesn't exist, or a certificate's file.
    """
    if host := os.environ.get("DOCKER_HOST", "").strip():
        return Endpoint(host, _tls_of_environment())
    context = current_context()
    return Endpoint(LOCAL) if context == "default" else _context(context)


def current_context() -> str:
    """Name the docker command's context; ``default`` if DOCKER_HOST says where the engine is."""
    if os.environ.get("DOCKER_HOST", "").strip():
        return "default"
    return str(os.environ.get("DOCKER_CONTEXT") or docker_config().get("currentContext") or "default")


def _tls_of_environment() -> TLSConfig | None:
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (verify or os.environ.get("DOCKER_TLS")):
        return None
    return _tls(Path(os.environ.get("DOCKER_CERT_PATH") or docker_folder()), verify)


def _context(name: str) -> Endpoint:
    """Read a context as ``docker context create`` writes it."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    contexts = docker_folder() / "contexts"
    try:
        meta = json.loads((contexts / "meta" / digest / "meta.json").read_bytes())
        about = meta["Endpoints"]["docker"]
        host = str(about["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidInput(
            f"The docker context {name} doesn't exist or can't be read.",
            "Choose one of docker context ls with docker context use, or set DOCKER_HOST.",
        ) from None
    folder = contexts / "tls" / digest / "docker"
    return Endpoint(host, _tls(folder, not about.get("SkipTLSVerify")) if folder.is_dir() else None)


def _tls(folder: Path, verify: bool) -> TLSConfig:
    ca, certificate, key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
    try:
        return TLSConfig(
            client_cert=(str(certificate), str(key)) if certificate.exists() or key.exists() else None,
            ca_cert=str(ca) if ca.exists() else None,
            verify=verify,
        )
    except DockerException as error:
        raise InvalidInput(
            f"The Docker Engine's certificates in {folder} can't be used: {error}.", "Check DOCKER_CERT_PATH."
        ) from None


def _client(endpoint: Endpoint, timeout: int) -> docker.APIClient:
    client, ssh = _unconnected(endpoint, timeout), None
    if endpoint.host.startswith(SSH):
        ssh = SSHAdapter(endpoint.host, timeout)
        client.mount("http+docker://", ssh)
    try:
        about: Mapping[str, Any] = within(timeout, lambda: client.version(api_version=False))
        _check(endpoint.host, about)
        client._version = about["ApiVersion"]  # type: ignore[attr-defined]
    except (DockerException, OSError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unavailable(
            f"No Docker Engine answers at {endpoint.host}: {(ssh and ssh.said()) or error}.",
            "Start it, or set DOCKER_HOST to one that this user may use.",
        ) from None
    return client


def _unconnected(endpoint: Endpoint, timeout: int) -> docker.APIClient:
    host = LOCAL if endpoint.host.startswith(SSH) else _with_port(endpoint)
    # The version only keeps the SDK from asking for it already.
    version = ".".join(map(str, OLDEST))
    try:
        client = docker.APIClient(base_url=host, version=version, timeout=timeout, tls=endpoint.tls or False)
    except (DockerException, AttributeError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"The Docker Engine {endpoint.host!r:.100} can't be used: {error}.",
            f"Check DOCKER_HOST and {docker_folder() / 'config.json'}.",
        ) from None
    # REQUESTS_CA_BUNDLE would replace the engine's own certificates, and .netrc would add a login. The proxies stay.
    client.proxies.update(requests.utils.get_environ_proxies(client.base_url))
    client.trust_env = False
    client.max_redirects = 0  # the logins of registries go with the calls, and would go with redirects
    return client


def _with_port(endpoint: Endpoint) -> str:
    address = urllib.parse.urlsplit(endpoint.host)
    if address.scheme != "tcp" or address.port or not address.netloc:
        return endpoint.host
    return address._replace(netloc=f"{address.netloc}:{2376 if endpoint.tls else 2375}").geturl()


def _check(host: str, about: Mapping[str, Any]) -> None:
    """Reject what isn't a Docker Engine that can build these images."""
    components = [str(each.get("Name", "")) for each in about.get("Components") or ()]
    if any("podman" in name.lower() for name in components):
        raise InvalidInput(
            f"Podman answers at {host}, and only a Docker Engine can build here.", "Set DOCKER_HOST to a Docker Engine."
        )
    if about.get("Os", "linux") != "linux":
        raise InvalidInput(
            f"The Docker Engine at {host} runs {about['Os']} containers.", "Switch it to Linux containers."
        )
    if tuple(map(int, str(about["ApiVersion"]).split("."))) < OLDEST:
        raise InvalidInput(
            f"The Docker Engine {about.get('Version')} at {host} has no BuildKit.", "Update it to 20.10 or newer."
        )
