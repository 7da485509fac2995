"""What no deployment explains, and what is no drift."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.status import Entry, EnvironmentStatus, Status
from tasks.core.images import Images
from tasks.core.models import ImageRef
from tasks.core.report.drift import find, page
from tasks.core.report.overview import Health, Overview

A, B = ("sha256:" + letter * 64 for letter in "ab")
AT = datetime(2026, 11, 25, tzinfo=UTC)
SERVER, UI = (ImageRef(name, f"r.example/{name}", digest=A) for name in ("flowise-server", "flowise-ui"))


def view(images: tuple[ImageRef, ...], running: tuple[str, ...] = (), by_hand: bool = False, **more: Any) -> Overview:
    told = {"digests": {"server": A, "ui": A} | more}
    deployment = Deployment(commit="c" * 40, at=AT, environment="dev", tag="v1", **told)
    history = (Entry(deployment=deployment, fate="live"),)
    dev = EnvironmentStatus(environment="dev", images=images, history=history, by_hand=by_hand)
    never = EnvironmentStatus(environment="staging", images=(), history=(), by_hand=False)
    status = Status(commit="c" * 40, environments=(dev, never), differences=())
    return Overview(at=AT, status=status, health={"dev": Health(status="Healthy", images=running)})


@pytest.mark.parametrize(
    "running",
    [
        (),
        ("other.example/flowise-server:v0", "busybox:1"),
        (f"r.example/flowise-server@{A}", f"r.example/flowise-ui@{A}"),
        (f"r.example/flowise-server@{A}", f"r.example/flowise-server@{B}"),  # old pods, still ending
    ],
)
def test_no_drift(running: tuple[str, ...]) -> None:
    assert find(view((SERVER, UI), running), Images()) == []


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (view((SERVER, UI), by_hand=True), "the overlay was changed by hand since commit ccccccc deployed v1"),
        (view((SERVER,)), "flowise-ui has no version in the overlay"),
        (view((SERVER, ImageRef("flowise-ui", "r.example/flowise-ui"))), "flowise-ui has no version in the overlay"),
        (view((SERVER, UI), ui=B), f"flowise-ui is {A} in the overlay, and {B} was deployed"),
        (
            view((SERVER, UI), (f"r.example/flowise-ui@{B}",)),
            f"flowise-ui runs as r.example/flowise-ui@{B}, and git has r.example/flowise-ui@{A}",
        ),
    ],
)
def test_drift_in_words(made: Overview, said: str) -> None:
    (found,) = find(made, Images())
    assert found.environment == "dev"
    assert found.words.startswith(said)
    assert "- **dev**: " in page([found])


def test_a_page_without_drift_says_so() -> None:
    assert "None: every overlay" in page([])
