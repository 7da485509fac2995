"""The files in docs/examples are valid, and allow what the code does and nothing else."""

import ast
import base64
import configparser
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from botocore.loaders import Loader

from tasks.core.models import ENVIRONMENTS
from tests.sandbox.processes import answers, free_port, running

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "docs" / "examples"
POLICIES = sorted(EXAMPLES.glob("aws/*.json"))
UNITS = sorted(EXAMPLES.glob("systemd/*.service"))
WRITING = re.compile("Put|Upload|Create|Delete|Set|Complete|Initiate")


def actions(policy: Path) -> set[str]:
    found = set[str]()
    for statement in json.loads(policy.read_text())["Statement"]:
        assert statement["Effect"] == "Allow"
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
        assert statement["Resource"] != "*" or action == "ecr:GetAuthorizationToken", "the one call without a resource"
    return {each.removeprefix("ecr:") for each in found}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.stem)
def test_a_policy_names_actions_that_ecr_has(policy: Path) -> None:
    assert actions(policy) <= set(Loader().load_service_model("ecr", "service-2")["operations"])


def test_the_policies_allow_what_the_code_calls() -> None:
    tree = ast.parse((PROJECT / "tasks/core/registry/ecr.py").read_text())
    called = {
        "".join(word.title() for word in node.attr.split("_"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self._client" and node.attr != "exceptions"
    }
    push, create, look_up = (
        actions(EXAMPLES / "aws" / f"{name}.json") for name in ("push", "push-and-create", "look-up")
    )
    assert called <= create
    assert create - push == {"CreateRepository"}
    assert called & look_up == called - {"CreateRepository"}
    assert look_up < push
    assert not [each for each in look_up if WRITING.search(each)]


def test_the_github_app_asks_for_what_is_used() -> None:
    app = json.loads((EXAMPLES / "github/app.json").read_text())
    assert set(app["default_events"]) == {"push", "repository_dispatch"}
    assert app["hook_attributes"]["url"].endswith("/webhooks/github")
    assert not {"administration", "workflows", "secrets", "actions"} & set(app["default_permissions"])
    ruleset = json.loads((EXAMPLES / "github/ruleset.json").read_text())
    assert {"deletion", "non_fast_forward", "pull_request"} <= {rule["type"] for rule in ruleset["rules"]}
    assert [each["actor_type"] for each in ruleset["bypass_actors"]] == ["Integration"]


def test_argo_cd_s_role_reads_and_syncs_the_applications_alone() -> None:
    project = yaml.safe_load((EXAMPLES / "argocd/project-role.yaml").read_text())
    (role,) = project["spec"]["roles"]
    subject = f"proj:{project['metadata']['name']}:{role['name']}"
    wanted = {
        f"p, {subject}, applications, {action}, {project['metadata']['name']}/flowise-{environment}, allow"
        for action in ("get", "sync")
        for environment in ENVIRONMENTS
    }
    assert set(role["policies"]) == wanted


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_service_is_confined_and_its_secrets_are_files(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    service = parser["Service"]
    confined = {"PrivateTmp": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "UMask": "0077"}
    assert {name: service[name] for name in confined} == confined
    assert service["User"] == unit.stem.removesuffix("@")
    program = re.search(r"exec \.venv/bin/([\w-]+)", service["ExecStart"])[1]
    assert shutil.which(program) or (PROJECT / ".venv/bin" / program).exists()
    lines = unit.read_text().splitlines()
    assert not [line for line in lines if line.startswith("Environment=") and re.search("TOKEN|SECRET|AUTH|KEY", line)]
    for name in re.findall(r"CREDENTIALS_DIRECTORY/([\w-]+)", service["ExecStart"]):
        assert any(line.startswith(f"LoadCredential={name}:") for line in lines)


def test_only_the_build_worker_has_the_engine_and_only_the_other_one_argo_cd() -> None:
    having = {
        word: {unit.stem for unit in UNITS if word in unit.read_text()}
        for word in ("docker", "argocd", "webhook-secret")
    }
    assert having == {"docker": {"flowise-build"}, "argocd": {"flowise-gitops"}, "webhook-secret": {"flowise-webhook"}}


def test_systemd_takes_the_units() -> None:
    ran = subprocess.run(
        ["systemd-analyze", "verify", *map(str, UNITS)], capture_output=True, text=True, check=False, timeout=60
    )
    named = [line for line in ran.stderr.splitlines() if "flowise-" in line and "is not executable" not in line]
    assert named == []


class Upstream(BaseHTTPRequestHandler):
    """Answers with what it was asked, as a server behind the proxy."""

    def do_GET(self) -> None:
        known = self.headers.get("Cookie") == "signed-in"
        self.send_response(202 if self.path != "/oauth2/auth" or known else 401)
        self.send_header("X-Auth-Request-Email", "robin@example.com")
        self.end_headers()
        self.wfile.write(json.dumps({"path": self.path, **dict(self.headers.items())}).encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Run nginx with the example, on one port of loopback and in front of one upstream."""
    upstream, port = HTTPServer(("127.0.0.1", 0), Upstream), free_port()
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "key", "-out", "pem"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "authorization.conf").write_text(
        f'proxy_set_header Authorization "Basic {base64.b64encode(b"a:b").decode()}";'
    )
    site = (EXAMPLES / "nginx/flowise.conf").read_text()
    site = re.sub(r"/etc/ssl/flowise/\w+\.(\w+)", rf"{folder}/\1", site).replace(
        "listen 443", f"listen 127.0.0.1:{port}"
    )
    site = re.sub(r"127\.0\.0\.1:(8000|4180|4200|4300)\b", f"127.0.0.1:{upstream.server_port}", site)
    site = site.replace("/etc/nginx/flowise-authorization.conf", f"{folder}/authorization.conf")
    temporary = "".join(f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    url = f"https://127.0.0.1:{port}"
    try:
        with running(
            ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)],
            log=folder / "nginx.log",
            ready=lambda: answers(url),
            timeout=30,
        ):
            yield url
    finally:
        upstream.shutdown()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example for nginx, running."""
    with nginx(tmp_path_factory.mktemp("nginx")) as url:
        yield url


def ask(proxy: str, host: str, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    with httpx.Client(verify=False, trust_env=False) as client:
        return client.request(method, f"{proxy}{path}", headers={"Host": host, **headers})


def test_github_reaches_the_receiver_and_nothing_else(proxy: str) -> None:
    assert ask(proxy, "hooks.example.com", "/webhooks/github", "POST").json()["path"] == "/webhooks/github"
    assert ask(proxy, "hooks.example.com", "/webhooks/github").status_code == 403
    for path in ("/", "/api/flow_runs/filter", "/healthz", "/webhooks/github/x", "/oauth2/auth"):
        assert ask(proxy, "hooks.example.com", path, "POST").status_code == 404, path


def test_people_reach_prefect_once_they_have_signed_in(proxy: str) -> None:
    for path in ("/", "/board/approvals/1", "/api/block_documents/filter", "/api/deployments/x/create_flow_run"):
        assert ask(proxy, "delivery.example.com", path, "POST").status_code == 401, path
    signed_in = {"Cookie": "signed-in", "X-Forwarded-User": "somebody@else.example"}
    seen = ask(proxy, "delivery.example.com", "/api/flows", **signed_in).json()
    assert seen["X-Forwarded-User"] == "robin@example.com", "not what the browser sends"
    assert base64.b64decode(seen["Authorization"].removeprefix("Basic ")) == b"a:b"
    board = ask(proxy, "delivery.example.com", "/board/approvals/1", **signed_in).json()
    assert board["path"] == "/approvals/1"
    assert all(board[name] == seen[name] for name in ("X-Forwarded-User", "Authorization"))
    assert ask(proxy, "delivery.example.com", "/oauth2/auth", **signed_in).status_code == 404, "internal"


def test_caddy_takes_its_site(tmp_path: Path) -> None:
    config = ["--adapter", "caddyfile", "--config", str(EXAMPLES / "caddy/Caddyfile")]
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "FLOWISE_API_AUTH": "YTpi"}
    ran = subprocess.run(
        ["caddy", "validate", *config], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
