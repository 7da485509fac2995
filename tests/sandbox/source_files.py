"""The files of the sample source repository: Flowise's shape at a hundredth of its size.

No image can be pulled where the tests run, so the Dockerfiles start from nothing and bring a static busybox.
"""

import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

from tests.sandbox.processes import NotInstalled


def first() -> dict[str, str | bytes]:
    """The first commit's files."""
    return _WORKSPACE | _PACKAGES | _IGNORED | _IMAGES | {"tools/busybox": static_busybox().read_bytes()}


def static_busybox() -> Path:
    """The busybox of this machine, if it runs without any library.

    Raises:
        NotInstalled: there is none, or it needs libraries.
    """
    found = shutil.which("busybox")
    if not found or not _is_static(found):
        raise NotInstalled("The sample images need a busybox without libraries: apt-get install busybox-static.")
    return Path(found)


def _is_static(program: str) -> bool:
    answer = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return "not a dynamic executable" in answer.stderr or "statically linked" in answer.stdout


def _text(content: str) -> str:
    return dedent(content).lstrip("\n")


_WORKSPACE = {
    "README.md": "# Flowise, in miniature\n",
    "package.json": _text("""
        {
            "name": "flowise",
            "version": "1.0.0",
            "private": true,
            "workspaces": ["packages/*"],
            "engines": {"node": "^20"}
        }
    """),
    "pnpm-workspace.yaml": "packages:\n    - 'packages/*'\n",
    "turbo.json": '{"pipeline": {"build": {"dependsOn": ["^build"], "outputs": ["dist/**"]}}}\n',
    ".github/workflows/deploy-to-k8s.yml": "name: Build and Push Flowise Images\n",
}

_PACKAGES = {
    "packages/components/package.json": '{"name": "flowise-components", "version": "1.0.0"}\n',
    "packages/components/src/index.ts": "export const nodes = ['chat', 'memory']\n",
    "packages/server/package.json": '{"name": "flowise-server", "version": "1.0.0"}\n',
    "packages/server/src/index.ts": "app.get('/api/v1/ping', (_, res) => res.send('pong'))\n",
    "packages/ui/package.json": '{"name": "flowise-ui", "version": "1.0.0"}\n',
    "packages/ui/public/index.html": "<!doctype html><title>Flowise</title><h1>Hello</h1>\n",
    "packages/ui/scripts/build.sh": '#!/bin/sh\nset -eu\nmkdir -p "$2"\ncp -r "$1"/public/. "$2"\n',
}

# In the repository, but not for a build: see .dockerignore and the stage "workspace" that looks for them.
_IGNORED = {
    ".dockerignore": _text("""
        # Not for the build's eyes
        .git
        .github
        **/node_modules
        **/*.log
        secret.env
        docs
        !docs/keep.md
    """),
    "secret.env": "API_KEY=not-for-images\n",
    "docs/guide.md": "# Guide\n",
    "docs/keep.md": "# The one page an image needs\n",
    "packages/server/debug.log": "noise\n",
    "packages/server/node_modules/left-pad/index.js": "module.exports = null\n",
}

_BEGIN = _text("""
    ARG NODE_VERSION=20

    FROM scratch AS base
    COPY tools/busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]

    FROM base AS workspace
    WORKDIR /usr/src
    COPY . .
    RUN test -e docs/keep.md && test ! -e docs/guide.md && test ! -e secret.env \\
        && test -z "$(find . -name '*.log' -o -name node_modules)"
""")

_IMAGES = {
    "packages/server/Dockerfile": _BEGIN
    + _text("""

        FROM workspace AS build
        ARG NODE_VERSION
        RUN mkdir -p dist/api/v1 && printf pong > dist/api/v1/ping \\
            && cat packages/components/src/*.ts packages/server/src/*.ts > dist/index.js \\
            && echo "$NODE_VERSION" > dist/node-version

        FROM base
        ENV NODE_ENV=production
        COPY --from=build /usr/src/dist /app
        EXPOSE 3000
        CMD ["/bin/busybox", "httpd", "-f", "-p", "3000", "-h", "/app"]
    """),
    "packages/ui/Dockerfile": _BEGIN
    + _text("""

        FROM workspace AS build
        ARG NODE_VERSION
        RUN packages/ui/scripts/build.sh packages/ui dist && echo "$NODE_VERSION" > dist/node-version

        FROM base
        COPY --from=build /usr/src/dist /www
        EXPOSE 8080
        CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
    """),
}

BETTER_UI = {"packages/ui/public/index.html": "<!doctype html><title>Flowise</title><h1>Hello, Flowise</h1>\n"}

FASTER_SERVER = {
    "packages/server/src/index.ts": "app.get('/api/v1/ping', pong)\n",
    "docs/guide.md": "# Guide\n\nPings are not logged.\n",
}

AGENT = {"packages/components/src/agent.ts": "export const agent = 'tool-agent'\n"}
