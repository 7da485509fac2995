"""A Docker Engine: the one that is there, or one of our own that leaves the machine as it was.

Other versions than the machine's come from Debian's later suites, installed into folders below ``ROOTS`` by
``parts.sh``. Such an engine sees its folder as the root of the file system, through an overlay that ends with it.
"""

import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from tests.sandbox.processes import NotInstalled, SandboxError, running

DEFAULT_SOCKET = "unix:///var/run/docker.sock"

ROOTS = Path("/var/cache/flowise-delivery/engines")
"""Debian systems with an engine, by suite; made by ``parts.sh``."""


@dataclass(frozen=True)
class Kind:
    """Which engine: the Debian suite it comes from (the machine's own by default), and its image store."""

    suite: str = ""
    containerd: bool = False

    @property
    def root(self) -> Path | None:
        """The folder of the engine's own system."""
        return ROOTS / self.suite if self.suite else None


KINDS = {
    "machine": Kind(),
    "trixie": Kind("trixie"),
    "sid": Kind("sid"),
    "sid-containerd": Kind("sid", containerd=True),
}
"""The engines of ``make test-engines``; ``SANDBOX_ENGINE`` names one for a run of tests."""

# The engine gets a mount and a process namespace of its own. So its mounts, containerd and every container end
# with it, even by kill -9, and the extra host names are seen by nobody else. It writes no firewall rules and
# has its own bridge: "--bridge=none" would delete the docker0 of another engine on this machine, and BuildKit's
# RUN wants a bridge. The outer shell outlives the engine's SIGTERM in order to remove that bridge.
_LAUNCH = """
trap : TERM
ip link add "$BRIDGE" type bridge
unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc sh -ec "$INSIDE" sh "$@"
ip link delete "$BRIDGE"
"""
_INSIDE = """
[ -z "$DISK" ] || mount -t tmpfs -o "size=$DISK" sandbox "$DATA"
[ -n "$ROOT" ] || { mount --bind "$HOSTS" /etc/hosts; exec "$@"; }
mkdir "$SHORT/over"; mount -t tmpfs sandbox "$SHORT/over"
mkdir "$SHORT/over/upper" "$SHORT/over/work" "$SHORT/over/root"; root=$SHORT/over/root
mount -t overlay -o "lowerdir=$ROOT,upperdir=$SHORT/over/upper,workdir=$SHORT/over/work" sandbox "$root"
for folder in /proc /sys /dev "$DATA" "$SHORT"; do mkdir -p "$root$folder"; mount --rbind "$folder" "$root$folder"; done
cp "$HOSTS" "$root/etc/hosts"
exec chroot "$root" "$@"
"""
_NEEDED = ("dockerd", "unshare", "ip")


@contextmanager
def engine(workdir: Path, *, hosts: Sequence[str] = (), disk: str = "", kind: Kind | None = None) -> Iterator[str]:
    """Yield the ``DOCKER_HOST`` of an engine that answers.

    ``DOCKER_HOST`` or the default socket is used if it answers, and has no build cache of ours afterwards. Otherwise
    root starts an engine whose images live in ``workdir`` and stay there for the next start.

    Args:
        workdir: folder for the engine of our own.
        disk: how much fits into it, such as 40m; its images are then gone with it. Only an engine of our own has that.
        hosts: names that must mean 127.0.0.1 to the engine, with the port of a registry without TLS if there is one;
            an engine that is already there can't be taught new ones.
        kind: start one of this kind; by default what ``SANDBOX_ENGINE`` names, or whichever is there.

    Raises:
        NotInstalled: there is no engine and none can be started; the message says what to install.
        SandboxError: the engine ``DOCKER_HOST`` names doesn't answer, or ours doesn't start.
    """
    kind = kind or KINDS[os.environ.get("SANDBOX_ENGINE", "machine")]
    existing = None if disk or kind.suite else _existing(hosts)
    if existing:
        with cache_as_before(existing):
            yield existing
    else:
        _check_possible(hosts, kind)
        with _own(workdir, hosts, disk, kind) as url:
            yield url


@contextmanager
def cache_as_before(url: str) -> Iterator[None]:
    """Remove from an engine's build cache what it didn't have before; parents can go once their children are gone."""
    with closing(docker.APIClient(base_url=url, version="auto")) as client:
        before = cached(client)
        try:
            yield
        finally:
            new, known = cached(client) - before, set[str]()
            while new != known:
                known = new
                for each in known:
                    filters = {"all": "1", "filters": json.dumps({"id": [each]})}
                    client.post(f"{client.base_url}/v{client.api_version}/build/prune", params=filters)
                new = cached(client) - before


def cached(client: docker.APIClient) -> set[str]:
    """Name what is in the build cache; layers of images are, too, and go with those."""
    answer = client.get(f"{client.base_url}/v{client.api_version}/system/df", params={"type": "build-cache"})
    return {each["ID"] for each in answer.json()["BuildCache"] or ()}


def is_given() -> bool:
    """Whether the machine has the engine already, named in DOCKER_HOST or at the default socket."""
    if KINDS[os.environ.get("SANDBOX_ENGINE", "machine")].suite:
        return False
    return bool(os.environ.get("DOCKER_HOST")) or answering(DEFAULT_SOCKET)


def answering(url: str) -> bool:
    """Whether a Docker Engine answers at ``url``."""
    if url.startswith("unix://") and not Path(url.removeprefix("unix://")).exists():
        return False  # docker's client would leave an open socket behind
    try:
        with closing(docker.DockerClient(base_url=url, timeout=5)) as client:
            return client.ping()
    except DockerException:
        return False


def _existing(hosts: Sequence[str]) -> str | None:
    if not all(map(_is_local, hosts)):
        return None
    url = os.environ.get("DOCKER_HOST")
    if url and not answering(url):
        raise SandboxError(f"No Docker Engine answers at DOCKER_HOST={url}: start it, or unset the variable.")
    url = url or DEFAULT_SOCKET
    return url if answering(url) else None


def _is_local(host: str) -> bool:
    try:
        return socket.gethostbyname(host.partition(":")[0]).startswith("127.")
    except OSError:
        return False


def _check_possible(hosts: Sequence[str], kind: Kind) -> None:
    if kind.root and not kind.root.exists():
        raise NotInstalled(f"There is no {kind.root}: run tests/sandbox/parts.sh engines as root.")
    missing = [program for program in _NEEDED if not shutil.which(program)]
    if not missing and os.geteuid() == 0:
        return
    wanted = f"that knows {', '.join(hosts)} as 127.0.0.1 (a line in /etc/hosts)" if hosts else "that answers"
    why = f"{', '.join(missing)} isn't installed" if missing else "only root can start one"
    raise NotInstalled(
        f"There is no Docker Engine {wanted}, and {why}: "
        "apt-get install docker.io iproute2 and run as root, or set DOCKER_HOST."
    )


@contextmanager
def _own(workdir: Path, hosts: Sequence[str], disk: str, kind: Kind) -> Iterator[str]:
    # A socket's path has at most 107 characters, which pytest's folders can exceed.
    with tempfile.TemporaryDirectory(prefix="sandbox-") as name:
        short = Path(name)
        url = f"unix://{short}/docker.sock"
        bridge = f"sandbox{secrets.token_hex(4)}"
        command = ["sh", "-c", _LAUNCH, "sandbox-engine", *_dockerd(workdir.resolve(), short, url, bridge, kind)]
        # The containerd image store takes no name for one of this machine, whatever it means.
        command += [f"--insecure-registry={each}" for each in hosts if ":" in each]
        data = workdir.resolve() / "data"
        data.mkdir(parents=True, exist_ok=True)
        own = {"HOSTS": _hosts_file(short, hosts), "BRIDGE": bridge, "DATA": data, "DISK": disk, "INSIDE": _INSIDE}
        own |= {"ROOT": kind.root or "", "SHORT": short}
        env = _environment() | {name: str(value) for name, value in own.items()}
        log = workdir / "dockerd.log"
        with running(command, log=log, ready=lambda: answering(url), env=env, grace=30):
            yield url


def _environment() -> dict[str, str]:
    """Ours without what would send a local registry's name to a proxy."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _hosts_file(folder: Path, hosts: Sequence[str]) -> Path:
    path = folder / "hosts"
    path.write_text(Path("/etc/hosts").read_text() + "".join(f"127.0.0.1 {name.partition(':')[0]}\n" for name in hosts))
    return path


def _dockerd(workdir: Path, short: Path, url: str, bridge: str, kind: Kind) -> list[str]:
    config = short / "daemon.json"  # instead of the machine's, whose settings our flags could contradict
    config.write_text(json.dumps({"features": {"containerd-snapshotter": kind.containerd}} if kind.suite else {}))
    return [
        "dockerd",
        f"--config-file={config}",
        f"--data-root={workdir}/data",
        f"--exec-root={short}/exec",
        f"--pidfile={short}/pid",
        f"--host={url}",
        f"--bridge={bridge}",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        "--userland-proxy=false",
    ]
