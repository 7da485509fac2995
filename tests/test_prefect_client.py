"""A Prefect server that is busy for a moment costs a moment; that a server is the one it says is asked of each."""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Response
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    temporary_settings,
)

import flows  # noqa: F401 - which says so to Prefect's clients
from tests.sandbox.in_process import served


async def ask() -> int:
    async with get_client() as client:
        return (await client.request("GET", "/flows/count")).status_code


def ask_sync() -> int:
    with get_client(sync_client=True) as client:
        return client.request("GET", "/flows/count").status_code


ways = pytest.mark.parametrize("asking", [ask_sync, lambda: asyncio.run(ask())], ids=["sync", "async"])


@ways
def test_a_busy_server_is_asked_again_soon(asking: Callable[[], int]) -> None:
    answers, api = [503, 503, 200], FastAPI()

    @api.get("/api/flows/count")
    def count() -> Response:
        return Response("1", answers.pop(0))

    with served(api) as url, temporary_settings({PREFECT_API_URL: f"{url}/api"}):
        started = time.monotonic()
        assert asking() == 200
    assert time.monotonic() - started < 4, "Prefect by itself waits 2 and 4 seconds, or somewhat less or more"
    assert answers == []


def certified(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody else has signed, with its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    day, address = timedelta(days=1), x509.IPAddress(IPv4Address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, datetime.now(UTC) - day, datetime.now(UTC) + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@contextmanager
def over_https(folder: Path) -> Iterator[Path]:
    """A server with such a certificate is Prefect's, so far as the settings go."""
    api, certificate = FastAPI(), certified(folder)

    @api.get("/api/flows/count")
    def count() -> int:
        return 1

    with served(api, certificate=certificate) as url, temporary_settings({PREFECT_API_URL: f"{url}/api"}):
        yield certificate


@ways
def test_a_server_is_trusted_by_the_settings_of_now(asking: Callable[[], int], tmp_path: Path) -> None:
    with over_https(tmp_path) as certificate:
        for _ in range(2):
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                asking()
            with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(certificate)}):
                assert asking() == 200
            with temporary_settings({PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}):
                assert asking() == 200


@ways
def test_a_file_of_certificates_that_changed_is_read_anew(asking: Callable[[], int], tmp_path: Path) -> None:
    with over_https(tmp_path) as certificate:
        trusted = tmp_path / "trusted.pem"
        (tmp_path / "another").mkdir()
        trusted.write_bytes(certified(tmp_path / "another").read_bytes())
        with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(trusted)}):
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                asking()
            trusted.write_bytes(certificate.read_bytes())
            assert asking() == 200


def test_certificates_are_read_once() -> None:
    ask_for = [lambda: get_client(sync_client=True), get_client] * 3
    with temporary_settings({PREFECT_API_URL: "https://prefect.example.com/api"}):
        ask_for[0]()
        with patch.object(ssl, "create_default_context", side_effect=AssertionError("read again")):
            assert all(each() for each in ask_for)
