"""Write the parts of README.md and of both references that are made from the code: `make docs`.

With ``--check``, nothing is written, and the exit status says whether something is out of date.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.utilities.callables import parameter_schema

from flows import deploy_to_k8s, drift, promote, rollback, status, update_flowise_deployment, watch_source
from flows.recover import recover
from tasks.core import errors
from tasks.core.errors import DeliveryError, Retryable, Terminal
from tasks.core.images import Images
from tasks.core.settings import Settings

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
REFERENCES = (PROJECT / "docs/reference.md", PROJECT / "docs/vi/reference.md")

FIRST = ("source_repo", "gitops_repo", "ecr_registry", "gitops_token", "dispatch_via", "approval_required")
"""What an installation needs, or decides, before anything else."""

CHAPTERS = {
    "Amazon ECR": ("aws_", "ecr_create_"),
    "Argo CD, rollout and health": ("argocd_", "rollout_", "health_", "dev_", "staging_", "prod_"),
    "GitHub": ("gitops_token", "github_"),
    "Approval": ("approval_",),
    "Alerts": ("alert_", "sendgrid_"),
    "Work pools": ("work_pool_", "worker_"),
}
"""What a setting's name begins with, by the chapter it is in; what is in none comes first."""

FLOWS = (deploy_to_k8s, update_flowise_deployment, promote, rollback, status, drift, watch_source, recover)
Schema = dict[str, Any]


def chapter_of(name: str) -> str:
    """Return the chapter a setting is in."""
    return next((chapter for chapter, begins in CHAPTERS.items() if name.startswith(begins)), "General")


def cell(text: str) -> str:
    """Escape what would end a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def values(schema: Schema) -> str:
    """Return the values that a JSON schema accepts, in a person's words."""
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    (kind,) = kinds
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if kind.get("format") == "password":
        return "secret"
    if kind.get("type") == "boolean":
        return "`true`, `false`"
    if kind.get("type") in ("integer", "number"):
        return f"{kind['type']}{bounds(kind)}"
    return (
        "JSON" if "$ref" in kind or kind.get("type") == "object" else "list" if kind.get("type") == "array" else "text"
    )


def bounds(schema: Schema) -> str:
    """Return the bounds of a number in words."""
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return "".join(f" {word} {schema[name]:g}" for name, word in words.items() if name in schema)


def default(value: object) -> str:
    """Return a default as code; nothing for what is empty."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return f"`{json.dumps(value)}`"
    return f"`{value}`" if isinstance(value, int | float) or (value and isinstance(value, str)) else ""


def settings_table(names: list[str]) -> str:
    """Return a table of these settings."""
    schemas = Settings.model_json_schema()["properties"]
    rows = []
    for name in names:
        field = Settings.model_fields[name]
        shown = (
            "" if name == "work_dir" else default(field.get_default(call_default_factory=True, validated_data={}))
        )  # the machine's own
        rows.append(f"| `{name.upper()}` | {values(schemas[name])} | {shown} | {cell(field.description or '')} |\n")
    return "| name | values | default | meaning |\n| --- | --- | --- | --- |\n" + "".join(rows)


def all_settings() -> str:
    """Return a table a chapter."""
    chapters: dict[str, list[str]] = {}
    for name in Settings.model_fields:
        chapters.setdefault(chapter_of(name), []).append(name)
    return "\n".join(f"### {chapter}\n\n{settings_table(names)}" for chapter, names in chapters.items())


def images() -> str:
    """Return the default of IMAGES."""
    return f"```json\n{Images().model_dump_json(indent=2)}\n```\n"


def parameters(flow: Flow[..., Any]) -> str:
    """Return a flow's parameters as its run form has them."""
    schema = parameter_schema(flow)
    rows = []
    for name, each in schema.properties.items():
        needed = "**required**" if name in (schema.required or ()) else default(each.get("default"))
        rows.append(f"| `{name}` | {values(each)} | {needed} | {cell(each['description'])} |\n")
    table = "| parameter | values | default | meaning |\n| --- | --- | --- | --- |\n" + "".join(rows)
    said, none = (flow.__doc__ or "").partition("\n")[0], "No parameters.\n"
    return f"### {flow.name}\n\n{said}\n\n{table if rows else none}"


def error_table() -> str:
    """Return a table of all errors, each with whether it is retried."""
    rows = []
    for kind in vars(errors).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, DeliveryError)
            and kind not in (DeliveryError, Retryable, Terminal)
        ):
            again = "yes" if issubclass(kind, Retryable) else "no"
            rows.append(f"| `{kind.__name__}` | {again} | {cell(kind.__doc__ or '')} |\n")
    return "| error | retried | meaning |\n| --- | --- | --- |\n" + "".join(rows)


TABLES: dict[str, Callable[[], str]] = {
    "parameters": lambda: "\n".join(parameters(flow) for flow in FLOWS),
    "settings": all_settings,
    "images": images,
    "errors": error_table,
}
PARTS: list[tuple[Path, str, Callable[[], str]]] = [
    (README, "settings", lambda: settings_table(list(FIRST))),
    *((page, name, make) for page in REFERENCES for name, make in TABLES.items()),
]


def outdated() -> dict[Path, str]:
    """Return the pages that don't say what the code says, each as it should be."""
    made = {page: page.read_text() for page, _, _ in PARTS}
    for page, name, make in PARTS:
        part = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
        made[page], count = part.subn(lambda found, make=make: f"{found[1]}\n{make()}\n{found[2]}", made[page])
        if count != 1:
            raise ValueError(f"{page} has {count} parts called {name}.")
    return {page: text for page, text in made.items() if text != page.read_text()}


def main() -> int:
    """Write what is out of date, or only name it."""
    check = sys.argv[1:] == ["--check"]
    pages = outdated()
    for page, text in pages.items():
        print(f"{page.relative_to(PROJECT)} {'is out of date: run make docs' if check else 'is brought up to date'}")
        if not check:
            page.write_text(text)
    return int(check and bool(pages))


if __name__ == "__main__":
    sys.exit(main())
