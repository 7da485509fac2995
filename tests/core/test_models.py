"""What comes from outside is checked, field by field, before anything else looks at it."""

import pickle
from unicodedata import normalize

import pytest

from tasks.core.errors import InvalidInput
from tasks.core.models import ImageUpdate

DIGEST = "sha256:" + "a0" * 32
SEVEN = ("environment", "tag", "sha", "server_digest", "ui_digest", "actor", "workflow_run_id")
GOOD = dict(zip(SEVEN, ("dev", "v1.0.0-0123456", "0123456", DIGEST, DIGEST, "octocat", "1234567890"), strict=True))
HUGE = "x" * 1_000_000

HOSTILE = {
    "environment": ["", "prod", "DEV", "dev\n", "../dev", "dev/../production", "dev\0", HUGE, None, ["dev"]],
    "tag": ["", "-x", ".x", "a b", "a\n", "\na", "a\0", "a/b", "a:b", "a\u2028", "ả", "t" * 129, HUGE, None, 1],
    "sha": ["abcdef", "A" * 40, "g" * 40, "a" * 41, "abcdef1\n", "-abcdef1", " abcdef1", HUGE, 1234567],
    "server_digest": [
        "a0" * 32,
        "sha256:" + "a" * 63,
        "sha256:" + "A0" * 32,
        f"{DIGEST}\n",
        "sha512:" + "a0" * 64,
        HUGE,
    ],
    "ui_digest": [f"{DIGEST}0", f"\n{DIGEST}", f"{DIGEST}\0", b"\xff"],
    "actor": [
        "a\nSource SHA: 0000000",
        "a\rb",
        "a\0",
        "a\u2028b",
        "a\u202eb",
        "a\x1b[31m",
        "a\udc80",
        "a" * 201,
        HUGE,
        {},
    ],
    "workflow_run_id": ["1\n2", "\t", "1" * 201, HUGE, 5],
}


@pytest.mark.parametrize(
    ("key", "value"), [pytest.param(k, v, id=f"{k}-{v!r:.30}") for k, values in HOSTILE.items() for v in values]
)
def test_hostile_values_are_refused_by_name_and_not_repeated(key: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        ImageUpdate.parse(**{**GOOD, key: value})
    assert caught.value.message.startswith(f"The image update is not valid: {key}: ")
    assert len(str(caught.value)) < 500
    assert len(pickle.dumps(caught.value)) < 1000


def test_every_bad_key_is_named_at_once() -> None:
    with pytest.raises(InvalidInput, match=r"environment: .*; tag: .*; force: "):
        ImageUpdate.parse(tag="-", force="yes")


@pytest.mark.parametrize("keys", [["a\nSource SHA: 0"], ["\u202ex"], [HUGE], list(map(str, range(5000)))])
def test_unknown_keys_are_named_harmlessly(keys: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        ImageUpdate.parse(**GOOD, **dict.fromkeys(keys, "x"))
    assert caught.value.message.isprintable()
    assert ascii(keys[0])[1:-1][:80] in caught.value.message
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("key", ["sha", "server_digest", "ui_digest", "actor", "workflow_run_id"])
@pytest.mark.parametrize("value", ["", None])
def test_empty_means_none(key: str, value: str | None) -> None:
    update = ImageUpdate.parse(**{**GOOD, key: value})
    assert getattr(update, key) is None
    assert update.payload() == {**GOOD, key: ""}


@pytest.mark.parametrize(
    "actor", ["Nguyễn Thị Ánh Tuyết", normalize("NFD", "Nguyễn Ánh"), "dependabot[bot]", "O'Neil, Søren", "x" * 200]
)
def test_names_of_people_are_welcome(actor: str) -> None:
    assert ImageUpdate.parse(**{**GOOD, "actor": actor}).actor == actor


def test_what_is_well_formed_stays_as_it_is() -> None:
    assert ImageUpdate.parse(**GOOD).model_dump() == GOOD
    assert tuple(ImageUpdate.parse(environment="dev", tag="t" * 128).payload()) == SEVEN
