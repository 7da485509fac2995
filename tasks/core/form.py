"""Text fields of Prefect's Run form, which is drawn and checked from the JSON schema of a flow's parameters."""

from typing import Any

from pydantic import Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema


def text(pattern: str, words: str, max_length: int | None = None) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Return the field of a text that has to match a pattern.

    Args:
        pattern: a regular expression.
        words: say what fits, with an example. Under a field the form quotes the pattern of its schema, which begins
            with them, as a regular expression's comment.
        max_length: how long the text may be.
    """
    return Field(pattern=pattern, max_length=max_length, json_schema_extra={"pattern": f"(?#{words}){pattern}"})


class Plain:
    """Mark text that may be ``None``: its form is a plain field that may stay empty, not tabs for text and "None".

    Its schema has no default. The form would send one, and Prefect's server takes null for a text without one alone
    (``prefect.utilities.schema_tools.validation``), which callers of its API do send.
    """

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema of the text alone."""
        (kind,) = (each for each in handler(core)["anyOf"] if each["type"] != "null")
        return _WithoutDefault(kind)


class _WithoutDefault(dict[str, Any]):
    """A JSON schema that pydantic adds no default to."""

    def __setitem__(self, key: str, value: object) -> None:
        if key != "default":
            super().__setitem__(key, value)
