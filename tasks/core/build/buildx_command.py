"""The docker command with buildx: which builder there is, in a private configuration with no logins but a build's own.

By the one door to other programs: python-on-whales, which wraps the same command, runs it with this process's whole
environment, without a time limit or an end, and shows progress as text.
"""

import base64
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.core.build.builder import Order, permitted_login
from tasks.core.errors import AccessDenied, InvalidInput, Unavailable
from tasks.core.registry.docker_config import DOCKER_HUB, IDENTITY, docker_config, docker_folder
from tasks.core.system import process

OLDEST = (0, 13)
"""The first buildx that reports progress as JSON."""

ENGINE = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
CLUSTER = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
"""What the docker and the kubernetes driver find their server by, beside the docker contexts and files at home."""

CONTAINERD = ["driver-type", "io.containerd.snapshotter.v1"]
"""How an engine says that it keeps images in containerd's store."""

REMOTE = "flowise"
"""What the builder is called that a buildkitd's address is made into."""

CERTIFICATES = {"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
SECONDS = 60
"""How long a question to buildx may take."""

CHECK = "Check BUILDX_BUILDER, and docker buildx inspect as the worker's user."
INSTALL = (
    "Install docker-cli and docker-buildx (Docker's own packages: docker-ce-cli and docker-buildx-plugin), or set"
    " BUILDER=engine."
)


@dataclass(frozen=True)
class Address:
    """Which builder: nothing for the docker command's current one, a name, or the address of a buildkitd.

    ``certs`` is the folder with ``ca.pem``, ``cert.pem`` and ``key.pem`` for such an address.
    """

    builder: str = ""
    certs: Path | None = None

    @property
    def is_remote(self) -> bool:
        """Whether it is a buildkitd's address."""
        return "://" in self.builder


@dataclass(frozen=True)
class Found:
    """A builder: its name, its driver, and whether it builds what only BuildKit with a real image store can."""

    name: str
    driver: str
    full: bool


class Docker:
    """The docker command, with a configuration of its own in a private folder.

    Args:
        folder: an empty private folder.
        address: which builder.
    """

    def __init__(self, folder: Path, address: Address) -> None:
        self._folder, self._address = folder, address
        self.builder = REMOTE if address.is_remote else address.builder
        users = docker_folder()
        kept = {name: os.environ[name] for name in (*ENGINE, *CLUSTER, "HOME") if os.environ.get(name)}
        builders = folder / "buildx" if address.is_remote else os.environ.get("BUILDX_CONFIG") or users / "buildx"
        own = {"DOCKER_CONFIG": folder, "BUILDX_CONFIG": builders, "BUILDX_METADATA_PROVENANCE": "disabled"}
        tls = {"DOCKER_CERT_PATH": str(users)} if "DOCKER_TLS" in kept or "DOCKER_TLS_VERIFY" in kept else {}
        self.env = process.clean_environment({**tls, **kept, **{name: str(path) for name, path in own.items()}})
        for name in ("contexts", "cli-plugins"):
            if (users / name).is_dir():
                (folder / name).symlink_to((users / name).absolute())
        self._write({})

    def allow(self, order: Order) -> None:
        """Write the logins that a build may use, and no others; they are in no argument and in no environment."""
        hosts = {order.registry.host, *order.logins} - {"docker.io"}
        self._write(dict(_logins(order, {*hosts, DOCKER_HUB} if "docker.io" in order.logins else hosts)))

    def _write(self, auths: Mapping[str, Mapping[str, str]]) -> None:
        kept = {name: value for name, value in docker_config().items() if name not in ("credsStore", "credHelpers")}
        file = self._folder / "config.json"
        file.touch(0o600)
        file.write_text(json.dumps({**kept, "auths": auths}))

    def find(self) -> Found:
        """Find the builder.

        Raises:
            InvalidInput: there is no docker command, no buildx, or no such builder.
            Unavailable: the builder can't be reached.
        """
        self._check_version()
        if self._address.is_remote:
            self._create()
        about = self._ask("buildx", "inspect", *filter(None, [self.builder]))
        found = re.findall(r"^(Name|Driver|Endpoint|Status|Error):\s*(.+?)\s*$", about, re.MULTILINE)
        said = dict(reversed(found))  # the builder's own name, and its first node
        name, driver = said.get("Name", self.builder), said.get("Driver", "")
        if error := said.get("Error"):
            raise Unavailable(f"The builder {name} can't be reached: {error.rstrip('.?')}.", CHECK)
        if driver == "remote" and said.get("Status") != "running":
            raise Unavailable(
                f"No buildkitd answers at {said.get('Endpoint')}.",
                "Start it; check BUILDX_BUILDER and, if it asks for certificates, BUILDX_CERTS.",
            )
        return Found(name, driver, driver != "docker" or self._has_containerd(name))

    def _check_version(self) -> None:
        try:
            said = self._run("buildx", "version")
        except FileNotFoundError:
            raise InvalidInput("BUILDER=buildx needs the docker command, which isn't on the PATH.", INSTALL) from None
        except process.CommandFailed as failure:
            raise InvalidInput(
                f"BUILDER=buildx needs buildx, and the docker command doesn't have it: {failure.stderr.strip()}.",
                INSTALL,
            ) from None
        version = re.search(r"\bv?(\d+)\.(\d+)\.[\w.+-]+", said)
        if version and (int(version[1]), int(version[2])) < OLDEST:
            raise InvalidInput(f"buildx {version[0]} is too old.", "Update it to 0.13 or newer.")

    def _create(self) -> None:
        certs = self._address.certs
        files = {option: certs / name for option, name in CERTIFICATES.items()} if certs else {}
        for file in files.values():
            if not file.is_file():
                raise InvalidInput(f"BUILDX_CERTS has no {file}.", "It is a folder with ca.pem, cert.pem and key.pem.")
        options = [f"--driver-opt={option}={file.absolute()}" for option, file in files.items()]
        self._ask("buildx", "create", "--name", REMOTE, "--driver", "remote", *options, self._address.builder)

    def _has_containerd(self, context: str) -> bool:
        return CONTAINERD in json.loads(self._ask("--context", context, "info", "--format", "{{json .DriverStatus}}"))

    def _ask(self, *arguments: str) -> str:
        try:
            return self._run(*arguments)
        except process.CommandFailed as failure:
            said = failure.stderr.strip().removeprefix("ERROR: ") or "no answer"
            if "no builder" in said or "context not found" in said:
                raise InvalidInput(
                    f"docker buildx has {said.partition(':')[0]}.".replace(" found.", "."),
                    "Set BUILDX_BUILDER to one of docker buildx ls, or to tcp://HOST:PORT of a buildkitd.",
                ) from None
            raise Unavailable(
                f"The builder {self._address.builder or 'of the docker command'} can't be used: {said.rstrip('.?')}.",
                CHECK,
            ) from None

    def _run(self, *arguments: str) -> str:
        return process.run(["docker", *arguments], env=self.env, timeout=SECONDS).decode(errors="replace")


def _logins(order: Order, hosts: Iterable[str]) -> Iterable[tuple[str, dict[str, str]]]:
    for host in hosts:
        try:
            user, password = permitted_login(order.registry, order.logins, host) or ("", "")
        except AccessDenied as unreadable:
            order.log(f"Building without a login: {unreadable.message}")
            continue
        name = "https://index.docker.io/v1/" if host == DOCKER_HUB else host
        if user == IDENTITY:
            yield name, {"identitytoken": password}
        elif user:
            yield name, {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
