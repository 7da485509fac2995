"""The generated source repositories of the benchmark of builds.

``monorepo``: about 2,400 files and 27 MB, two multi-stage Dockerfiles whose steps cost almost nothing.
``stages``: few files, a server of five stages that take their time, side by side or for nothing.
``layers``: the same with a server whose last stage takes its time before anything of the commit is in it.
``large``: few files and images of a size that is chosen, most of it in a layer that no commit changes.
"""

import random
from pathlib import Path

from tests.sandbox.repositories import commit, git, init
from tests.sandbox.source_files import static_busybox

Content = dict[str, str | bytes | None]

PARTS = {
    "packages/server/src/{:03}.ts": (500, 9_000),
    "packages/components/nodes/{:03}.ts": (800, 10_000),
    "packages/components/icons/{:03}.png": (150, 15_000),
    "packages/ui/src/{:03}.jsx": (700, 11_000),
    "packages/ui/public/{:03}.png": (150, 30_000),
    "docs/{:03}.md": (100, 7_000),
}
"""How many files of how many bytes; PNGs do not compress."""

SERVER, UI, DOCS = "packages/server/src/000.ts", "packages/ui/public/version.txt", "docs/000.md"
"""One file that each image contains, and one that no context contains."""

_FEW: Content = {".dockerignore": ".git\ndocs\n", SERVER: "0\n", UI: "0\n", DOCS: "0\n"}

_BASE = """\
FROM scratch AS base
COPY tools/busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""

_WORKSPACE = f"""\
ARG NODE_VERSION=20
{_BASE}
FROM base AS workspace
WORKDIR /usr/src
COPY . .

FROM workspace AS build
ARG NODE_VERSION
"""

_END = 'CMD ["/bin/busybox", "httpd", "-f", "-h", "/app"]\n'

_IMAGES = {
    "packages/server/Dockerfile": f"""\
{_WORKSPACE}
RUN mkdir dist && cat packages/server/src/*.ts > dist/index.js && echo "$NODE_VERSION" > dist/node-version

FROM base
COPY --from=build /usr/src/dist /app
{_END}""",
    "packages/ui/Dockerfile": f"""\
{_WORKSPACE}
RUN cp -r packages/ui/public dist && cat packages/ui/src/*.jsx > dist/index.js

FROM base
COPY --from=build /usr/src/dist /app
{_END}""",
}

_STAGES = {
    "packages/server/Dockerfile": f"""\
{_BASE}
FROM base AS dependencies
RUN sleep 2 && echo modules > /modules

FROM base AS assets
RUN sleep 2 && echo assets > /assets

FROM dependencies AS tests
RUN sleep 3 && echo passed > /report

FROM dependencies AS compile
COPY packages/server packages/server
RUN sleep 1 && cat packages/server/src/*.ts > /index.js

FROM base
COPY --from=assets /assets /app/assets
COPY --from=compile /modules /index.js /app/
{_END}""",
    "packages/ui/Dockerfile": f"""\
{_BASE}
FROM base AS build
COPY packages/ui packages/ui
RUN sleep 1 && cp -r packages/ui/public /dist

FROM base
COPY --from=build /dist /app
{_END}""",
}

_LAYERS = _STAGES | {
    "packages/server/Dockerfile": f"""\
{_BASE}
FROM base AS compile
COPY packages/server packages/server
RUN cat packages/server/src/*.ts > /index.js

FROM base
RUN sleep 5 && echo modules > /modules
COPY --from=compile /index.js /app/
{_END}"""
}

_LARGE = f"""\
{_BASE}
FROM base
RUN head -c {{megabytes}}m /dev/urandom > /modules
COPY packages/{{part}} /app
{_END}"""

_CHART = "apiVersion: v2\nname: flowise\nversion: 0.0.1-set.by.chartpress\n"
_VALUES = "".join(f"{part}:\n  image:\n    repository: none\n    tag: none\n" for part in ("server", "ui"))


def monorepo(path: Path) -> Path:
    """A bare repository of the size the name promises; the same on every machine, but for its busybox."""
    chance = random.Random(7)
    files: Content = {
        pattern.format(number): _content(chance, pattern, size)
        for pattern, (count, size) in PARTS.items()
        for number in range(count)
    }
    return _repository(path, files | _IMAGES | {".dockerignore": ".git\ndocs\n**/*.log\n**/node_modules\n", UI: "0\n"})


def stages(path: Path) -> Path:
    """A small bare repository whose server has five stages after the base: three in need, two of them side by side."""
    return _repository(path, _STAGES | _FEW)


def layers(path: Path) -> Path:
    """A small bare repository whose server has a step of five seconds that no commit changes."""
    return _repository(path, _LAYERS | _FEW)


def large(path: Path, megabytes: int) -> Path:
    """A small bare repository whose images have so many megabytes each, which don't compress."""
    dockerfiles: Content = {
        f"packages/{part}/Dockerfile": _LARGE.format(megabytes=megabytes, part=part) for part in ("server", "ui")
    }
    return _repository(path, dockerfiles | _FEW)


def change(source: Path, note: str) -> str:
    """Commit a change to a file of each image."""
    return commit(source, "main", {SERVER: f"// {note}\n", UI: f"{note}\n"}, f"feat: {note}")


def change_docs(source: Path, note: str) -> str:
    """Commit a change to what no build sees."""
    return commit(source, "main", {DOCS: f"# {note}\n"}, f"docs: {note}")


def _repository(path: Path, files: Content) -> Path:
    chart: Content = {
        "chartpress.yaml": _chartpress(),
        "charts/flowise/Chart.yaml": _CHART,
        "charts/flowise/values.yaml": _VALUES,
    }
    init(path)
    commit(path, "main", files | chart | {"tools/busybox": static_busybox().read_bytes()}, "feat: import")
    git(path, "repack", "-adq")
    return path


def _content(chance: random.Random, name: str, size: int) -> str | bytes:
    if name.endswith(".png"):
        return chance.randbytes(size)
    lines = (f"call({chance.getrandbits(48):013x}, 'node-{chance.randrange(900):03}')\n" for _ in range(size // 32))
    return "".join(lines)


def _chartpress() -> str:
    """As chartpress's README says: what an image's tag depends on is named, so that the docs build nothing."""
    images = "".join(
        f"      flowise-{part}:\n"
        f"        contextPath: .\n"
        f"        dockerfilePath: packages/{part}/Dockerfile\n"
        f"        rebuildOnContextPathChanges: false\n"
        f"        paths: [packages, tools, .dockerignore]\n"
        f"        valuesPath: {part}.image\n"
        for part in ("server", "ui")
    )
    return f"charts:\n  - name: flowise\n    chartPath: charts/flowise\n    images:\n{images}"
