"""Questions to a real registry, and to stand-ins that answer what a real one does on a bad day."""

import base64
import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tasks.core.errors import AccessDenied, Conflict, DeliveryError, InvalidInput, NotFound, Terminal, Unavailable
from tasks.core.registry.oci import Registry, is_ecr, on_loopback
from tasks.core.system import interruption
from tests.conftest import PASSWORD, USER
from tests.sandbox import registry as sandbox
from tests.sandbox.certificate import self_signed
from tests.sandbox.in_process import served
from tests.sandbox.processes import free_port
from tests.sandbox.redirects import moved

ABSENT = f"sha256:{'0' * 64}"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """What ``docker login`` leaves."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(host: str, user: str, password: str) -> None:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))

    return write


def test_a_digest_by_tag_and_by_digest(images: sandbox.Registry) -> None:
    first, second = images.push("asked/app", "v1", "one"), images.push("asked/app", "v2", "two")
    with asking(images.host) as registry:
        registry.check("asked/app")
        assert registry.digest("asked/app", "v1") == first
        assert registry.digest("asked/app", "v2") == second != first
        assert registry.digest("asked/app", first) == first


@pytest.mark.parametrize(
    ("repository", "reference"), [("absent/app", "v2"), ("absent/app", ABSENT), ("absent/nothing", "v1")]
)
def test_absent_is_none(images: sandbox.Registry, repository: str, reference: str) -> None:
    images.push("absent/app", "v1")
    with asking(images.host) as registry:
        assert registry.digest(repository, reference) is None


def test_one_more_tag_is_the_same_image(images: sandbox.Registry) -> None:
    first, second = images.push("tagged/app", "v1", "one"), images.push("tagged/app", "v2", "two")
    with asking(images.host) as registry:
        registry.add_tag("tagged/app", first, "latest")
        assert images.digest("tagged/app", "latest") == first
        registry.add_tag("tagged/app", second, "latest")
        assert images.digest("tagged/app", "latest") == second
    assert images.digest("tagged/app", "v1") == first


def test_a_tag_for_an_index_of_several_platforms(images: sandbox.Registry) -> None:
    part = images.push("index/app", "amd64")
    size = len(httpx.get(f"{images.url}/v2/index/app/manifests/{part}", headers={"Accept": "*/*"}).content)
    platform = {"architecture": "amd64", "os": "linux"}
    manifests = [{"mediaType": sandbox.MANIFEST_TYPES[1], "digest": part, "size": size, "platform": platform}]
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, indent=3).encode()
    put = httpx.put(f"{images.url}/v2/index/app/manifests/v1", content=body, headers={"Content-Type": INDEX})
    assert put.status_code == 201
    digest = f"sha256:{sha256(body).hexdigest()}"
    with asking(images.host) as registry:
        assert registry.digest("index/app", "v1") == digest
        registry.add_tag("index/app", digest, "latest")
    assert images.digest("index/app", "latest") == digest
    assert images.manifest("index/app", "latest")["mediaType"] == INDEX


def test_a_tag_for_what_is_not_there(images: sandbox.Registry) -> None:
    images.push("missing/app", "v1")
    with asking(images.host) as registry, pytest.raises(NotFound, match=f"missing/app@{ABSENT}"):
        registry.add_tag("missing/app", ABSENT, "v2")
    assert images.tags("missing/app") == ["v1"]


def test_credentials_of_docker_login(guarded: sandbox.Registry, login: Callable[[str, str, str], None]) -> None:
    digest = guarded.push("app", "v1")
    login(guarded.host, USER, PASSWORD)
    with asking(guarded.host) as registry:
        assert registry.credentials() == (USER, PASSWORD)
        registry.check("app")
        assert registry.digest("app", "v1") == digest
        assert registry.digest("app", "v2") is None
        registry.add_tag("app", digest, "v3")
    assert guarded.digest("app", "v3") == digest


@pytest.mark.usefixtures("login")
def test_without_credentials(guarded: sandbox.Registry) -> None:
    with asking(guarded.host) as registry:
        assert registry.credentials() is None
        for ask in (lambda: registry.check("app"), lambda: registry.digest("app", "v1")):
            with pytest.raises(AccessDenied) as failure:
                ask()
            assert f"docker login {guarded.host}" in failure.value.hint


def test_with_wrong_credentials(guarded: sandbox.Registry, login: Callable[[str, str, str], None]) -> None:
    login(guarded.host, USER, "wrong-password")
    with asking(guarded.host) as registry, pytest.raises(AccessDenied, match="401") as failure:
        registry.digest("app", "v1")
    assert_silent(failure.value, USER, "wrong-password")


def test_a_login_for_another_registry_is_not_sent(
    guarded: sandbox.Registry, login: Callable[[str, str, str], None]
) -> None:
    login("registry.example.com", USER, PASSWORD)
    with asking(guarded.host) as registry, pytest.raises(AccessDenied, match="there are none"):
        registry.check("app")


@pytest.mark.filterwarnings("ignore:docker-credential-no-such-helper")
def test_a_credential_helper_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"127.0.0.1:5000": "no-such-helper"}}))
    with asking("127.0.0.1:5000") as registry, pytest.raises(AccessDenied, match="no-such-helper"):
        registry.credentials()


def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-sandbox"
    helper.write_text(f'#!/bin/sh\necho \'{{"Username": "{USER}", "Secret": "{PASSWORD}"}}\'\n')
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"127.0.0.1:5000": "sandbox"}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with asking("127.0.0.1:5000") as registry:
        assert registry.credentials() == (USER, PASSWORD)


def test_nobody_listens() -> None:
    host = f"127.0.0.1:{free_port()}"
    with asking(host) as registry, pytest.raises(Unavailable, match=host):
        registry.digest("app", "v1")


def test_silence_is_limited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = Registry(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        with closing(registry), pytest.raises(Unavailable):
            registry.digest("app", "v1")


CODES = {429: Unavailable, 500: Unavailable, 502: Unavailable, 503: Unavailable, 403: AccessDenied, 401: AccessDenied}


@pytest.mark.parametrize(("code", "kind"), CODES.items())
def test_only_404_means_absent(code: int, kind: type[DeliveryError], login: Callable[[str, str, str], None]) -> None:
    with standing_in(lambda _: Response(status_code=code)) as host:
        login(host, USER, PASSWORD)
        with asking(host) as registry:
            for ask in (
                lambda: registry.check("app"),
                lambda: registry.digest("app", "v1"),
                lambda: registry.add_tag("app", ABSENT, "v1"),
            ):
                with pytest.raises(DeliveryError) as failure:
                    ask()
                assert type(failure.value) is kind
                assert str(code) in failure.value.message
                assert_silent(failure.value, PASSWORD)


@pytest.mark.parametrize("here", [True, False])
def test_a_login_goes_to_no_other_host_without_tls(
    here: bool, login: Callable[[str, str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from a registry on this machine nor from one that is used over plain HTTP by setting."""
    challenge = 'Bearer realm="http://tokens.example.com/token"'
    with standing_in(lambda _: Response(status_code=401, headers={"WWW-Authenticate": challenge})) as host:
        login(host, USER, PASSWORD)
        if not here:
            monkeypatch.setattr("tasks.core.registry.oci.on_loopback", lambda _: False)
        asked = closing(Registry(host, 5, plain_http=not here))
        with asked as registry, pytest.raises(AccessDenied, match=r"over plain HTTP, at tokens\.example\.com"):
            registry.digest("app", "v1")


def test_an_answer_without_a_digest() -> None:
    empty = Response(status_code=200)
    with standing_in(lambda _: empty) as host, asking(host) as registry, pytest.raises(Unavailable, match="no digest"):
        registry.digest("app", "v1")


def test_a_web_server_that_is_no_registry() -> None:
    hello = PlainTextResponse("Hello", 404)
    with standing_in(lambda _: hello) as host, asking(host) as registry, pytest.raises(NotFound, match="no OCI"):
        registry.check("app")


@pytest.mark.parametrize("repository", ["app", "immutable/app"])
@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "TAG_INVALID", "The image tag 'v1' already exists in the '{0}' repository and cannot be overwritten "
         "because the tag is immutable.", Conflict),
        (404, "NAME_UNKNOWN", "The repository with name '{0}' does not exist", NotFound),
        (500, "UNKNOWN", "storage of {0} failed", Unavailable),
        (403, "DENIED", "requested access to {0} is denied", AccessDenied),
    ],
)  # fmt: skip
def test_why_a_tag_is_refused(repository: str, status: int, code: str, message: str, kind: type[DeliveryError]) -> None:
    def answer(request: Request) -> Response:
        if request.method != "PUT":
            return Response(b"{}", media_type=INDEX)
        return JSONResponse({"errors": [{"code": code, "message": message.format(repository)}]}, status)

    with standing_in(answer) as host, asking(host) as registry, pytest.raises(DeliveryError) as failure:
        registry.add_tag(repository, ABSENT, "v1")
    assert type(failure.value) is kind
    assert code in failure.value.message


class TokenFlow:
    """A registry that wants a bearer token, after the distribution project's "Token Authentication"."""

    def __init__(self, *, field: str = "token", anonymous: bool = False, challenge: str = "") -> None:
        self.field, self.anonymous, self.challenge, self.asked = field, anonymous, challenge, []

    def __call__(self, request: Request) -> Response:
        if request.url.path == "/token":
            return self.give(request)
        if request.headers.get("authorization") == "Bearer the-token":
            return Response(headers={"Docker-Content-Digest": ABSENT})
        realm = f"http://{request.url.netloc}/token"
        challenge = self.challenge or f'Bearer realm="{realm}",service="sandbox",scope="repository:app:pull"'
        return Response(status_code=401, headers={"WWW-Authenticate": challenge})

    def give(self, request: Request) -> Response:
        self.asked.append(dict(request.query_params))
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if not self.anonymous and request.headers.get("authorization") != expected:
            return JSONResponse({"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}, 401)
        return JSONResponse({self.field: "the-token", "expires_in": 60})


@pytest.mark.parametrize("field", ["token", "access_token"])
def test_a_bearer_token(field: str, login: Callable[[str, str, str], None]) -> None:
    flow = TokenFlow(field=field)
    with standing_in(flow) as host, asking(host) as registry:
        login(host, USER, PASSWORD)
        assert registry.digest("app", "v1") == ABSENT
        assert registry.digest("app", "v2") == ABSENT
    assert flow.asked == [{"service": "sandbox", "scope": "repository:app:pull,push"}]  # once, and good for both


@pytest.mark.usefixtures("login")
def test_a_bearer_token_for_everybody() -> None:
    with standing_in(TokenFlow(anonymous=True)) as host, asking(host) as registry:
        assert registry.digest("app", "v1") == ABSENT


def test_a_bearer_token_is_refused(login: Callable[[str, str, str], None]) -> None:
    with standing_in(TokenFlow()) as host, asking(host) as registry:
        login(host, USER, "wrong-password")
        with pytest.raises(AccessDenied, match="who are you") as failure:
            registry.digest("app", "v1")
    assert_silent(failure.value, "wrong-password")


@pytest.mark.parametrize(
    "challenge",
    ['Bearer service="no realm"', 'Bearer realm="http://127.0.0.1:1/"', 'Bearer realm="https://["'],
)
def test_a_token_server_out_of_reach(challenge: str, login: Callable[[str, str, str], None]) -> None:
    with standing_in(TokenFlow(challenge=challenge)) as host, asking(host) as registry:
        login(host, USER, PASSWORD)
        with pytest.raises(Unavailable, match="token") as failure:
            registry.digest("app", "v1")
    assert_silent(failure.value, PASSWORD)


def test_a_token_that_may_push_alone_is_told_as_that(login: Callable[[str, str, str], None]) -> None:
    flow = TokenFlow()

    def pushes_only(request: Request) -> Response:
        answer = flow(request)
        return answer if answer.status_code != 200 or request.url.path == "/token" else Response(status_code=403)

    with standing_in(pushes_only) as host, asking(host) as registry:
        login(host, USER, PASSWORD)
        with pytest.raises(AccessDenied, match="accepts the login, but doesn't let it read"):
            registry.digest("app", "v1")


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_may_push_alone_is_told_as_that(status: int, login: Callable[[str, str, str], None]) -> None:
    def pushes_only(request: Request) -> Response:
        if "authorization" not in request.headers:
            return Response(status_code=401, headers={"WWW-Authenticate": "Basic"})
        error = {"code": "DENIED", "message": "requested access to the resource is denied"}
        return JSONResponse({"errors": [error]}, status if "manifests" in request.url.path else 200)

    with standing_in(pushes_only) as host, asking(host) as registry:
        login(host, USER, PASSWORD)
        registry.check("app")
        with pytest.raises(AccessDenied, match="accepts the login, but doesn't let it read") as failure:
            registry.digest("app", "v1")
    assert "pull as well as push" in failure.value.hint
    assert_silent(failure.value, PASSWORD)


def test_a_token_server_that_gives_none(login: Callable[[str, str, str], None]) -> None:
    with standing_in(TokenFlow(field="nothing")) as host, asking(host) as registry:
        login(host, USER, PASSWORD)
        with pytest.raises(Unavailable, match="no token"):
            registry.digest("app", "v1")


def test_a_redirect_is_not_followed(login: Callable[[str, str, str], None]) -> None:
    with moved(307) as servers, asking(servers.url.removeprefix("http://")) as registry:
        login(registry.host, USER, PASSWORD)
        with pytest.raises(InvalidInput, match=rf"to {servers.other}/new/v2/app/manifests/v1\.") as failure:
            registry.digest("app", "v1")
    assert servers.seen == []
    assert "in-the-query" not in str(failure.value)


def test_a_token_server_that_redirects_gets_no_second_host_a_login(login: Callable[[str, str, str], None]) -> None:
    with (
        moved(302) as servers,
        standing_in(TokenFlow(challenge=f'Bearer realm="{servers.url}/token"')) as host,
        asking(host) as registry,
    ):
        login(host, USER, PASSWORD)
        with pytest.raises(InvalidInput, match="redirects"):
            registry.digest("app", "v1")
    assert servers.seen == []


def test_a_login_for_https_is_not_sent_over_http(
    login: Callable[[str, str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.url.scheme} {request.headers.get('authorization', '')}".strip())
        return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="http://tokens.example.com/token"'})

    monkeypatch.setattr("tasks.core.registry.oci.on_loopback", lambda _: False)
    with asking("registry.example.com") as registry:
        login("registry.example.com", USER, PASSWORD)
        monkeypatch.setattr(registry._http, "_transport", httpx.MockTransport(answer))
        monkeypatch.setattr(registry._http, "_mounts", {})
        with pytest.raises(AccessDenied, match=r"plain HTTP, at tokens\.example\.com"):
            registry.digest("app", "v1")
    assert seen == ["https"]


NO_HOSTS = (
    "",
    "https://registry.example.com",
    "registry.example.com/team",
    "user:password@registry.example.com",
    "registry.example.com:port",
    "registry.example.com:70000",
    "registry example",
    "-registry",
    "registry.",
    "registry..example",
    "x" * 64 + ".example.com",
    "registry\n",
    "[::1",
    "[1]",
)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_no_host(host: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        Registry(host)
    assert isinstance(failure.value, Terminal)
    assert repr(host[:50])[:-1] in failure.value.message


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.1.2.3:5000", True), ("localhost:5000", True), ("[::1]:5000", True),
     ("192.0.2.1:5000", False), ("[2001:db8::1]:5000", False), ("no-such-host.invalid", False)],
)  # fmt: skip
def test_plain_http_is_for_this_machine_alone(host: str, here: bool) -> None:
    assert on_loopback(host) is here
    if not here:
        with asking(host) as registry, closing(Registry(host, plain_http=True)) as plain:
            assert (registry._base, plain._base) == (f"https://{host}/v2/", f"http://{host}/v2/")


@pytest.mark.parametrize("without", ["HEAD", "the header", "both"])
def test_a_digest_without_the_registrys_help(images: sandbox.Registry, without: str) -> None:
    digest = images.push("helpless/app", "v1", without)

    def answer(request: Request) -> Response:
        if request.method == "HEAD" and without != "the header":
            return Response(status_code=405)
        path = request.url.path
        found = httpx.get(f"{images.url}{path}", headers={"Accept": request.headers.get("accept", "*/*")})
        kept = {"content-type", *(["docker-content-digest"] if without == "HEAD" else [])}
        headers = {name: value for name, value in found.headers.items() if name in kept}
        return Response(found.content, found.status_code, headers)

    with standing_in(answer) as host, asking(host) as registry:
        assert registry.digest("helpless/app", "v1") == digest
        assert registry.digest("helpless/app", "v2") is None


@pytest.mark.parametrize("said", ["7", "Thu, 26 Nov 2099 12:00:00 GMT", "soon", ""])
def test_a_busy_registry_says_when_to_come_again(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(interruption, "pause", lambda seconds, _: slept.append(seconds))
    busy = [429, 503]

    def answer(request: Request) -> Response:
        if request.url.path != "/v2/" and busy:
            return Response(status_code=busy.pop(), headers={"Retry-After": said})
        return Response(headers={"Docker-Content-Digest": ABSENT})

    with standing_in(answer) as host, asking(host) as registry:
        if said == "7":
            assert registry.digest("app", "v1") == ABSENT
            assert slept == [7, 7]
        else:
            with pytest.raises(Unavailable, match="503"):
                registry.digest("app", "v1")
            assert slept == []


def test_a_registry_with_tls_on_this_machine(tmp_path: Path) -> None:
    async def answer(_: Request) -> Response:
        return Response(headers={"Docker-Content-Digest": ABSENT})

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "HEAD"])])
    with served(app, certificate=self_signed(tmp_path)) as url, asking(url.removeprefix("https://")) as registry:
        assert registry.digest("app", "v1") == ABSENT


@pytest.mark.parametrize("by", ["setting", "folder", "nothing"])
def test_a_certificate_is_trusted_where_docker_trusts_it(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_: Request) -> Response:
        return Response(headers={"Docker-Content-Digest": ABSENT})

    certificate = self_signed(tmp_path)
    monkeypatch.setattr("tasks.core.registry.tls.CERTS_D", tmp_path / "certs.d")
    monkeypatch.setattr("tasks.core.registry.oci.on_loopback", lambda _: False)
    with served(Starlette(routes=[Route("/{path:path}", answer, methods=["HEAD"])]), certificate=certificate) as url:
        host = url.removeprefix("https://")
        if by == "folder":
            (tmp_path / "certs.d" / host).mkdir(parents=True)
            (tmp_path / "certs.d" / host / "ca.crt").write_bytes(certificate.read_bytes())
        with closing(Registry(host, 10, ca_file=str(certificate) if by == "setting" else "")) as registry:
            if by != "nothing":
                assert registry.digest("app", "v1") == ABSENT
                return
            with pytest.raises(Terminal, match="isn't trusted") as failure:
                registry.digest("app", "v1")
            assert "REGISTRY_CA_FILE" in failure.value.hint


def test_a_registry_without_tls_on_another_machine(images: sandbox.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = images.push("plain/app", "v1")
    monkeypatch.setattr("tasks.core.registry.oci.on_loopback", lambda _: False)
    with asking(images.host) as registry, pytest.raises(Terminal, match="doesn't speak TLS") as failure:
        registry.digest("plain/app", "v1")
    assert "REGISTRY_PLAIN_HTTP=true" in failure.value.hint
    with closing(Registry(images.host, plain_http=True)) as plain:
        assert plain.digest("plain/app", "v1") == digest


def test_certificates_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(InvalidInput, match=r"ca\.pem can't be read"):
        Registry("registry.example.com", ca_file=str(tmp_path / "ca.pem"))


def test_the_environments_proxy_is_for_other_machines(
    images: sandbox.Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        threading.Thread(target=refuse_one, args=(proxy, asked), daemon=True).start()
        with asking(images.host) as registry:
            registry.check("app")
        assert asked == []
        with asking("192.0.2.1:5000") as registry, pytest.raises(Unavailable):
            registry.check("app")
    assert asked[0].startswith(b"CONNECT 192.0.2.1:5000 ")


def refuse_one(proxy: socket.socket, asked: list[bytes]) -> None:
    connection, _ = proxy.accept()
    with connection:
        asked.append(connection.recv(1 << 12))
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def test_ecr_by_its_name() -> None:
    assert is_ecr("123456789012.dkr.ecr.eu-west-1.amazonaws.com")
    assert is_ecr("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com")
    assert not is_ecr("ecr.example.com")


@contextmanager
def asking(host: str) -> Iterator[Registry]:
    with closing(Registry(host, timeout=5)) as registry:
        yield registry


@contextmanager
def standing_in(answer: Callable[[Request], Response]) -> Iterator[str]:
    def endpoint(request: Request) -> Response:  # Starlette takes a function for one, and no other callable
        return answer(request)

    with served(Starlette(routes=[Route("/{path:path}", endpoint, methods=["GET", "HEAD", "PUT"])])) as url:
        yield url.removeprefix("http://")


def assert_silent(error: DeliveryError, *secrets: str) -> None:
    """Neither the exception nor its traceback has a secret, plain or as Basic credentials have it."""
    said = "".join(traceback.format_exception(error)) + repr(error)
    basic = [base64.b64encode(f"{USER}:{secret}".encode()).decode() for secret in secrets]
    assert [secret for secret in (*secrets[-1:], *basic) if secret in said] == []
