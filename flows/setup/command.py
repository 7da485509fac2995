"""``flowise-setup``: everything the project needs in a Prefect server, in one command.

Made from the settings in the environment: the work pool, the limits, the blocks, the variables, the alerts. Run again
it changes what differs, and nothing else; what no setting speaks of is left alone.
"""

import argparse
import os
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.variables import Variable
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from flows.setup.alerts import Recipient, automations
from flows.setup.deployments import prefect_yaml
from flows.setup.server_check import kept, read_settings
from flows.setup.server_objects import (
    CONTAINERS,
    Row,
    automation,
    block,
    fixed_environment,
    limit,
    lost_slots,
    run_environment,
    variable,
    work_pool,
)
from flows.setup.work_pools import base_job_template
from tasks.core.errors import DeliveryError, InvalidInput, NotFound
from tasks.core.hosts import RECEIVERS, hosts
from tasks.core.models import ENVIRONMENTS
from tasks.core.settings import ASKED_BY_DEFAULT, Settings, load
from tasks.runtime.web import ui

AWS = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"}
BUILDS = ("build_secrets", "build_ssh", "buildx_builder", "buildx_certs")
"""What builds get and who builds them: fixed for the build pool, so that no variable lets a Dockerfile read a file."""
OTHERS = {"application", "work_dir", "trusted_hosts", "work_pool_type", "work_pool_options", "worker_image"}
NO_VARIABLE = {*AWS, *BUILDS, *OTHERS}
"""Credentials, what belongs to one machine or to flowise-setup itself, and what can't be changed in the UI; secrets go
by their type."""
DEFAULTS = {"approval_required": ",".join(ASKED_BY_DEFAULT), "dispatch_via": "prefect-event"}
"""What runs of deployments have unless the environment of flowise-setup, or the UI, says otherwise."""


def main() -> int:
    """Run the command; 0 if everything is as the settings say."""
    parser = argparse.ArgumentParser(prog="flowise-setup", description=__doc__)
    parser.add_argument("--deployments", action="store_true", help="print prefect.yaml for this APPLICATION, and end")
    if parser.parse_args().deployments:
        print(prefect_yaml(load().names), end="")
        return 0
    table, console = Table("what", "name", "outcome"), Console()
    try:
        for row in set_up(load()):
            table.add_row(*row)
        server = server_table()
    except DeliveryError as error:
        console.print(f"{error}", style="red", markup=False)
        return 1
    except httpx.HTTPError as error:
        console.print(f"Prefect at {PREFECT_API_URL.value()} does not do it: {error}", style="red", markup=False)
        return 1
    finally:
        if table.rows:
            console.print(table)
    if server:
        console.print(server)
    return 0


def server_table() -> Table | None:
    """Return what the server keeps where, and what of it a restart loses; ``None`` if it doesn't tell."""
    with get_client(sync_client=True) as client:
        settings = read_settings(client)
    if not settings:
        return None
    table = Table("the server keeps", "in", "a restart loses")
    for row in kept(settings):
        table.add_row(*row)
    return table


def set_up(settings: Settings) -> Iterator[Row]:
    """Bring the Prefect server of ``PREFECT_API_URL`` to what the settings say, one thing after the other.

    Raises:
        InvalidInput: there is no server to set up, or a setting that another one needs is missing.
        NotFound: the block that ``ALERT_BLOCK`` names is not there.
    """
    if not PREFECT_API_URL.value():
        raise InvalidInput(
            "PREFECT_API_URL is not set.", "Name the server: http://127.0.0.1:4200/api, or Prefect Cloud."
        )
    with get_client(sync_client=True) as client:
        shared, names, kind = shared_settings(settings), settings.names, settings.work_pool_type
        for name, value in shared.items():
            yield variable(names.variable(name), value)
        references = {name.upper(): f"{{{{ prefect.variables.{names.variable(name)} }}}}" for name in shared}
        fixed = {"APPLICATION": settings.application, "TRUSTED_HOSTS": ",".join(trusted_hosts(settings))}
        fixed |= {} if kind == "process" else CONTAINERS
        for pool, withheld in withheld_secrets(settings, shared["dispatch_via"]).items():
            template = base_job_template(settings, pool, builds=pool == names.build_pool)
            given = map(str.upper, BUILDS if pool == names.build_pool else ())
            builds = {name: os.environ[name] for name in given if name in os.environ}
            yield run_environment(pool, references | withheld | fixed | builds)
            yield work_pool(client, pool, kind, template)
        for environment in ENVIRONMENTS:
            yield limit(client, names.limit(environment))
        yield from lost_slots(client, names)
        yield from credentials(settings)
        yield from alerts(client, settings)


def shared_settings(settings: Settings) -> dict[str, Any]:
    """Return what every worker should have: the settings in this environment but secrets and what is this machine's.

    Those of ``DEFAULTS`` are always there: as set here, as changed in the UI, or by default.
    """
    ours = {name for name in settings.model_fields_set if not _is_secret(name) and name.upper() in os.environ}
    names = sorted(name for name in ours - NO_VARIABLE if not name.startswith("alert_"))
    defaults = {name: Variable.get(settings.names.variable(name), value) for name, value in DEFAULTS.items()}
    return defaults | {name: os.environ[name.upper()] for name in names}


def trusted_hosts(settings: Settings) -> list[str]:
    """Return the hosts that runs may send credentials to, whatever a variable is changed to in the UI.

    Those of ``TRUSTED_HOSTS``, else of these settings and of those before: what was fixed then, or, the first time,
    what the variables say.
    """
    if settings.trusted_hosts:
        return sorted(settings.trusted_hosts)
    fixed = fixed_environment(settings.names.gitops_pool).get("TRUSTED_HOSTS", "")
    unset = () if fixed else (name for name in RECEIVERS if name not in settings.model_fields_set)
    kept = {name: value for name in unset if (value := Variable.get(settings.names.variable(name)))}
    return sorted({*fixed.split(","), *chain(*hosts(dict(settings) | kept).values())} - {""})


def withheld_secrets(settings: Settings, dispatch_via: str) -> dict[str, dict[str, str]]:
    """Return, for each pool, the variables that are empty in its runs even if its worker has them.

    With ``prefect-event`` the first flow only posts an event; otherwise it needs the second flow's tokens itself.
    """
    build = {"source_token", *AWS}
    gitops = {
        *build,
        "gitops_token",
        "github_app_private_key",
        "argocd_auth_token",
    }  # it looks images up in the registry
    names, one_run = settings.names, dispatch_via != "prefect-event"
    empty = {
        pool: {name.upper(): "" for name in Settings.model_fields if _is_secret(name) and name not in own}
        for pool, own in {names.build_pool: gitops if one_run else build, names.gitops_pool: gitops}.items()
    }
    blocks = settings.github_credentials_block, settings.source_credentials_block
    return empty | {names.build_pool: empty[names.build_pool] | {"GITHUB_CREDENTIALS_BLOCK": blocks[not one_run]}}


def _is_secret(name: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[name].annotation)


def credentials(settings: Settings) -> Iterator[Row]:
    """Yield the credential blocks whose secrets are in the environment; others are left as they are."""
    key, secret = settings.aws_access_key_id, settings.aws_secret_access_key
    if os.environ.get("AWS_SESSION_TOKEN"):
        yield Row("block", f"aws-credentials/{settings.aws_credentials_block}", "left alone: these keys are temporary")
    elif key and secret:
        from prefect_aws import AwsClientParameters, AwsCredentials  # noqa: PLC0415 - slow to load

        values: dict[str, Any] = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        if settings.aws_region:
            values["region_name"] = settings.aws_region
        if settings.aws_endpoint_url:
            values["aws_client_parameters"] = AwsClientParameters(endpoint_url=settings.aws_endpoint_url)
        yield block(AwsCredentials, settings.aws_credentials_block, **values)[0]
    tokens = {
        settings.github_credentials_block: settings.gitops_token,
        settings.source_credentials_block: settings.source_token,
    }
    for name, token in tokens.items():
        if token:
            from prefect_github import GitHubCredentials  # noqa: PLC0415 - slow to load

            yield block(GitHubCredentials, name, token=token)[0]


def alerts(client: SyncPrefectClient, settings: Settings) -> Iterator[Row]:
    """Yield the notification blocks, and an automation for each alert that tells them."""
    made = list(notification_blocks(client, settings))
    yield from (row for row, _ in made)
    if not made:
        yield Row(
            "alerts",
            "",
            "left alone: neither ALERT_WEBHOOK_URL nor ALERT_BLOCK or another address is set",
        )
        return
    recipients = [Recipient(identity, row.name.startswith("sendgrid-email/")) for row, identity in made]
    for wanted in automations(settings, recipients, ui()):
        yield automation(client, wanted)


def notification_blocks(client: SyncPrefectClient, settings: Settings) -> Iterator[tuple[Row, UUID]]:
    """Where alerts go, each with its block's id."""
    from prefect.blocks import notifications  # noqa: PLC0415 - slow to load

    ours = settings.names.alert_blocks
    if settings.alert_slack_url:
        yield block(notifications.SlackWebhook, ours, url=settings.alert_slack_url)
    if settings.alert_webhook_url:
        secrets = {"url": settings.alert_webhook_url.get_secret_value()}  # the field url would show it
        text = {"subject": "{{ subject }}", "body": "{{ body }}", "text": "{{ subject }}\n{{ body }}"}
        kind = notifications.CustomWebhookNotificationBlock
        yield block(kind, ours, name=ours, url="{{ url }}", json_data=text, secrets=secrets)
    if settings.alert_teams_url:
        yield block(notifications.MicrosoftTeamsWebhook, ours, url=settings.alert_teams_url)
    if settings.alert_discord_url:
        yield block(notifications.DiscordWebhook, ours, **discord(settings.alert_discord_url))
    if settings.alert_email:
        settings.require("sendgrid_api_key", "alert_email_from")
        to = [address.strip() for address in settings.alert_email.split(",")]
        values = {"api_key": settings.sendgrid_api_key, "sender_email": settings.alert_email_from, "to_emails": to}
        yield block(notifications.SendgridEmail, ours, **values)
    if settings.alert_block:
        yield existing_block(client, settings.alert_block)


def discord(url: SecretStr) -> dict[str, SecretStr]:
    """Take the parts of a Discord webhook's address that its block has fields for.

    Raises:
        InvalidInput: it is not one.
    """
    found = re.fullmatch(r"https://discord(?:app)?\.com/api/webhooks/(\d+)/([\w-]+)", url.get_secret_value())
    if not found:
        raise InvalidInput(
            "ALERT_DISCORD_URL is not a Discord webhook.", "Copy it from the channel: Integrations, Webhooks."
        )
    return {"webhook_id": SecretStr(found[1]), "webhook_token": SecretStr(found[2])}


def existing_block(client: SyncPrefectClient, where: str) -> tuple[Row, UUID]:
    """Find a block that was made in the UI, by ``type-slug/name``."""
    kind, _, name = where.partition("/")
    try:
        return Row("block", where, "unchanged"), client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise NotFound(
            f"There is no block {where}.", "ALERT_BLOCK is type-slug/name, as in slack-webhook/team."
        ) from None
