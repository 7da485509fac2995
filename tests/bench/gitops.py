"""What an update of the GitOps repository costs, against a plain script, in one run: ``make bench``.

Size: one update over HTTP of a repository of 20,000 commits and 20,000 files, against one with 100 of each; after
another update from the same machine, and on one that has kept nothing. kustomize renders the overlay before and after.
Writers: 18 processes that update at once, against the time a script needs for the same 18 one after the other; from
their start, and when all are up and have loaded what they need.
"""

import hashlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from tasks.core.git import Remote
from tasks.core.gitops.repository import GitOps
from tasks.core.gitops.writer import write
from tasks.core.models import ImageUpdate, Render
from tests.sandbox.github import GitHub, github
from tests.sandbox.repositories import git, git_environment, init, log

FILE = "argocd/apps/flowise/overlays/dev/kustomization.yaml"
BASE = "argocd/apps/flowise/base"
KUSTOMIZATION = """\
resources: [../../base]
images:
- name: flowise-server
  newName: registry.example.com/flowise-server
  newTag: start
- name: flowise-ui
  newName: registry.example.com/flowise-ui
  newTag: start
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: {name}}}]}}
"""
MANIFESTS = {
    f"{BASE}/kustomization.yaml": "resources: [server.yaml, ui.yaml]\n",
    f"{BASE}/server.yaml": DEPLOYMENT.format(name="flowise-server"),
    f"{BASE}/ui.yaml": DEPLOYMENT.format(name="flowise-ui"),
}
SCRIPT = r"""
set -e
git clone -q --depth 1 "$URL" "$DIR"
cd "$DIR"
sed -i -E "s/(newTag|digest): .*/newTag: $TAG/" "$FILE"
git -c user.name=s -c user.email=s@example.com commit -q -m "chore(dev): update flowise images to $TAG" "$FILE"
git push -q origin HEAD:main
"""
REGISTRY = "registry.example.com"
START = """
import sys, tempfile
from pathlib import Path
from tasks.core.git import Remote
from tasks.core.gitops.repository import GitOps
from tasks.core.gitops.writer import write
from tasks.core.models import ImageUpdate
from pydantic import SecretStr
print("loaded", flush=True)
sys.stdin.readline()
"""
WRITE = f"""
where = Remote(sys.argv[1], SecretStr(sys.argv[3]))
place = GitOps(where, "main", "argocd/apps/flowise/overlays", Path(tempfile.gettempdir()), render="require")
assert write(place, ImageUpdate(environment="dev", tag=sys.argv[2]), "{REGISTRY}", lambda _: None).changed
"""
ROUNDS = 7
WRITERS = 18


def repository(path: Path, size: int) -> Path:
    """A bare repository of ``size`` commits and ``size`` files."""
    init(path)
    git(path, "config", "uploadpack.allowFilter", "true")
    git(path, "fast-import", "--quiet", stdin=b"".join(_commits(size)))
    git(path, "repack", "-adq")
    return path


def _commits(size: int) -> Iterator[bytes]:
    for number in range(size):
        yield (
            f"commit refs/heads/main\ncommitter bench <bench@example.com> {1_700_000_000 + number} +0000\n"
            f"data <<END\nfeat: change number {number}\nEND\n"
        ).encode()
        if number == 0:
            files = (
                {FILE: KUSTOMIZATION}
                | MANIFESTS
                | {_name(each): f"kind: ConfigMap\nid: {each}\n" for each in range(size)}
            )
        else:
            files = {_name(number * 7919 % size): f"kind: ConfigMap\nid: {number}\nchanged: true\n"}
        for name, content in files.items():
            yield f"M 100644 inline {name}\ndata {len(content)}\n{content}\n".encode()


def _name(number: int) -> str:
    return f"argocd/apps/app-{number % 200:03}/overlays/env-{number % 7}/file-{number}.yaml"


def update(where: Remote, tag: str, environment: str = "dev", render: Render = "require") -> None:
    """One update, as the task makes it; it has a source commit, and so an order, but nobody to ask about it."""
    place = GitOps(where, "main", "argocd/apps/flowise/overlays", Path(tempfile.gettempdir()), render=render)
    asked = ImageUpdate(environment=environment, tag=tag, sha=hashlib.sha1(tag.encode()).hexdigest())
    result = write(place, asked, REGISTRY, lambda _: None)
    assert result.changed


def script(url: str, tag: str, folder: Path) -> None:
    """One update, as a plain script makes it."""
    env = git_environment() | {"URL": url, "DIR": str(folder / tag), "TAG": tag, "FILE": FILE}
    subprocess.run(["bash", "-c", SCRIPT], env=env, check=True, stderr=subprocess.DEVNULL)


@contextmanager
def measured(hub: GitHub, took: list[float], fetched: list[int]) -> Iterator[None]:
    """Note the seconds and the bytes that the server sent."""
    before, started = sum(each.sent for each in hub.requests), time.perf_counter()
    yield
    took.append(time.perf_counter() - started)
    fetched.append(sum(each.sent for each in hub.requests) - before)


def sizes(folder: Path, console: Console) -> None:
    """The first table: small and large, ours and the script's, in turn."""
    names = {"bench/small": 100, "bench/large": 20_000}
    with github({name: repository(folder / f"{size}.git", size) for name, size in names.items()}) as hub:
        where = {name: Remote(hub.clone_url(name), SecretStr(hub.token)) for name in names}
        urls = {name: hub.clone_url(name).replace("://", f"://x:{hub.token}@") for name in names}
        figures: dict[tuple[str, str], tuple[list[float], list[int]]] = {}
        for turn in range(ROUNDS + 1):
            for name in names:
                with measured(hub, *figures.setdefault(("script", name), ([], []))):
                    script(urls[name], f"{name[-5:]}{turn}", folder)
                shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
                for way in ("update, nothing kept", "update", "update, not rendered"):
                    with measured(hub, *figures.setdefault((way, name), ([], []))):
                        tag = f"{way[6:]}{turn}".lstrip(", ").replace(" ", "-")
                        update(where[name], tag, render="off" if way.endswith("not rendered") else "require")
    table = Table("", "100 commits, 100 files", "20,000 commits, 20,000 files", "ratio", title="One update over HTTP")
    for way in ("update", "update, not rendered", "update, nothing kept", "script"):
        for index, unit in ((0, "ms"), (1, "KB fetched")):
            # Left out is the first turn: it warms the disk cache, and looks through all of history for a deployment.
            small, large = (statistics.median(figures[way, name][index][1:]) for name in names)
            scale = 1000 if index == 0 else 1 / 1000
            table.add_row(f"{way}, {unit}", f"{small * scale:.1f}", f"{large * scale:.1f}", f"{large / small:.2f}")
    console.print(table)


def writers(folder: Path, console: Console) -> None:
    """The second table: many at once against one after the other, on disk and over HTTP."""
    table = Table("", "on disk", "ratio", "over HTTP", "ratio", title=f"{WRITERS} updates of one repository, seconds")
    bare = {place: repository(folder / f"{place}.git", 100) for place in ("disk", "http")}
    with github({"bench/writers": bare["http"]}) as hub:
        url = hub.clone_url("bench/writers")
        urls = {"disk": (str(bare["disk"]),) * 2, "http": (url, url.replace("://", f"://x:{hub.token}@"))}
        took = {place: _written(folder / place, *urls[place], hub.token, bare[place]) for place in bare}
    for row in took["disk"]:
        cells = ((took[place][row], took[place]["script, in sequence"]) for place in bare)
        table.add_row(row, *(f"{each:.2f}" for seconds, script in cells for each in (seconds, seconds / script)))
    console.print(table)


def _written(folder: Path, url: str, with_token: str, token: str, bare: Path) -> dict[str, float]:
    folder.mkdir()
    started = time.perf_counter()
    for number in range(WRITERS):
        script(with_token, f"s{number}", folder)
    in_sequence = time.perf_counter() - started
    took = {"script, in sequence": in_sequence}
    for way, loaded in (("processes at once, from their start", False), ("processes at once, when loaded", True)):
        took[way] = together(loaded, lambda number, loaded=loaded: [START + WRITE, url, f"w{number}-{loaded:d}", token])
        landed = [each["subject"] for each in log(bare)][:WRITERS]
        wanted = (f"chore(dev): update flowise images to w{number}-{loaded:d}" for number in range(WRITERS))
        assert sorted(landed) == sorted(wanted)
    return took | {"as many that only load Python's modules": together(False, lambda _: [START])}


def together(loaded: bool, arguments: Callable[[int], list[str]]) -> float:
    """Seconds that as many processes take as there are writers: from their start, or from when all are loaded."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = time.perf_counter()
    running = [
        subprocess.Popen([sys.executable, "-c", *arguments(number)], cwd=Path(__file__).parents[2], **pipes)
        for number in range(WRITERS)
    ]
    if loaded:
        assert [each.stdout.readline() for each in running] == [b"loaded\n"] * WRITERS
        started = time.perf_counter()
    for each in running:
        each.stdin.close()
    assert [each.wait() for each in running] == [0] * WRITERS
    return time.perf_counter() - started


def main() -> None:
    """Print both tables."""
    console = Console()
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        sizes(Path(folder), console)
        writers(Path(folder), console)


if __name__ == "__main__":
    main()
