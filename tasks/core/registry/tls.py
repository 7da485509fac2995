"""Which certificates a registry's are checked against: the machine's, the setting's, and Docker's own folder."""

import ssl
from functools import cache
from pathlib import Path

import httpx

from tasks.core.errors import InvalidInput

CERTS_D = Path("/etc/docker/certs.d")
"""Where the engine looks for a registry's certificates: CAs in ``HOST/*.crt``, its own in ``*.cert`` and ``*.key``."""


@cache  # to read the certificates again for each registry takes longer than most calls
def trusted(host: str, ca_file: str = "") -> ssl.SSLContext:
    """Return what a connection to a registry needs.

    Raises:
        InvalidInput: a file of certificates can't be read.
    """
    context, file = httpx.create_ssl_context(), Path()
    try:
        for file in [Path(ca_file)] * bool(ca_file) + sorted((CERTS_D / host).glob("*.crt")):
            context.load_verify_locations(file)
        for file in sorted((CERTS_D / host).glob("*.cert")):
            context.load_cert_chain(file, file.with_suffix(".key"))
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"The certificates in {file} can't be read: {error}.", "Give a file of certificates in PEM format."
        ) from None
    return context


def unverified() -> ssl.SSLContext:
    """Return what a registry on this machine needs: Docker, too, takes any certificate there, or none at all."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
