"""What a builder that talks to the engine's API rejects before anything is built; test_publish.py has the rest."""

import pytest

from tasks.core.build.builder import Order
from tasks.core.build.buildkit import Recipe
from tasks.core.build.dockerfile import Dockerfile
from tasks.core.build.engine_builder import check
from tasks.core.errors import InvalidInput
from tasks.core.images import ImageSpec

APP = ImageSpec(name="app", dockerfile="build/Dockerfile")


def order(text: str, image: ImageSpec = APP) -> Order:
    """An order as far as a check reads it."""
    nothing = dict.fromkeys(Order.__dataclass_fields__)
    return Order(**nothing | {"image": image, "recipe": Recipe("build/Dockerfile", Dockerfile(text))})


@pytest.mark.parametrize(
    ("step", "asks_for", "hint"),
    [
        (
            "RUN --mount=type=secret,id=npmrc npm ci",
            "RUN --mount=type=secret",
            "BUILD_SECRETS=npmrc=FILE, or npmrc=BLOCK",
        ),
        ("RUN --mount=type=ssh git clone x", "RUN --mount=type=ssh", "BUILD_SSH=default=FILE, or default=BLOCK"),
        ("ADD git@github.com:o/r.git /src", "ADD git@github.com:o/r.git", "BUILD_SSH=default=FILE, or default=BLOCK"),
    ],
)
def test_what_is_private_needs_buildx(step: str, asks_for: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(order(f"FROM scratch\n{step}\n"))
    assert caught.value.message == (
        f"build/Dockerfile:2 of app asks for {asks_for}, and BUILDER=engine gives builds neither secrets nor SSH."
    )
    assert caught.value.hint == f"Set BUILDER=buildx and {hint}: see docs/builders.md."


def test_an_ordinary_image_is_built() -> None:
    check(order("FROM scratch\nRUN --mount=type=cache,target=/x npm ci\n"))
