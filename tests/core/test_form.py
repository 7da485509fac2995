"""The Run form's schema, as Prefect's server checks what people type and what callers of its API send."""

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import build_error_obj, validate

from tasks.core.models import Digest, OptionalDigest, OptionalLine, OptionalSha, OptionalTag, Ref, Tag


def flow(
    ref: Ref = "main",
    tag: Tag = "v1",
    digest: Digest = "sha256:" + "a" * 64,
    maybe_tag: OptionalTag = None,
    sha: OptionalSha = None,
    maybe_digest: OptionalDigest = None,
    actor: OptionalLine = None,
) -> None:
    """Take every kind of text that a flow of this project does."""


SCHEMA: dict[str, Any] = parameter_schema(flow).model_dump()
OPTIONAL = ("maybe_tag", "sha", "maybe_digest", "actor")


def test_text_that_may_be_empty_is_a_plain_field_and_empty_in_three_ways() -> None:
    for name, each in SCHEMA["properties"].items():
        assert each["type"] == "string", f"{name}: no tabs"
        assert ("default" in each) == (name not in OPTIONAL)
    for empty in ({}, dict.fromkeys(OPTIONAL), dict.fromkeys(OPTIONAL, "")):
        assert validate(empty, SCHEMA, raise_on_error=True) == []


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("ref", "-x", "'-x' does not match '(?#a branch, tag or commit, such as main, v1.2.0 or f3a21bc)^"),
        ("tag", "a b", "'a b' does not match '(?#letters, digits and . _ - alone, such as v1.2.0)^"),
        ("maybe_tag", "a b", "'a b' does not match '(?#letters, digits and . _ - alone, such as v1.2.0)^"),
        ("sha", "main", "'main' does not match '(?#a commit, 7 to 40 digits or letters from a to f, such as f3a21bc)^"),
        ("digest", "latest", "'latest' does not match '(?#sha256: and 64 digits or letters from a to f)^"),
        ("maybe_digest", "latest", "'latest' does not match '(?#sha256: and 64 digits or letters from a to f)^"),
        ("actor", "a\nb", r"'a\nb' does not match '(?#one line of printable text, such as a name)^"),
    ],
)
def test_the_form_says_what_fits_before_it_quotes_a_pattern(name: str, typed: str, said: str) -> None:
    (wrong,) = build_error_obj(validate({name: typed}, SCHEMA))["errors"]
    assert wrong["property"] == name
    assert wrong["errors"][0].startswith(said)
