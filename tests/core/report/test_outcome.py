"""A run's result in one sentence."""

from typing import Any

import pytest

from tasks.core.errors import BuildFailed
from tasks.core.models import BuiltImage, DeployResult, ImageChange, ImageRef, Rollout, UpdateResult
from tasks.core.report import failure, outcome

OLD, NEW = (
    ImageRef("flowise-server", "registry/flowise-server", digest=f"sha256:{letter * 64}") for letter in ("a", "b")
)
HEALTHY = Rollout(application="flowise-dev", status="healthy", seconds=41.3)


def result(**fields: Any) -> UpdateResult:
    known = {
        "environment": "dev",
        "tag": "dff1a53",
        "changed": True,
        "commit": "9713b86" + "0" * 33,
        "overlay_path": "overlays/dev",
        "images": (NEW,),
        "changes": (ImageChange(old=OLD, new=NEW),),
        "diff": "-old\n+new\n",
        "replaces": "85000dc" + "0" * 33,
        "rollout": HEALTHY,
    }
    return UpdateResult(**known | fields)


NOTHING: dict[str, Any] = {"changed": False, "changes": (), "diff": ""}


@pytest.mark.parametrize(
    ("made", "name", "said"),
    [
        (result(), "Completed", "dev: 85000dc -> dff1a53, commit 9713b86, healthy after 41 s"),
        (result(replaces=""), "Completed", "dev: aaaaaaaaaaaa -> dff1a53, commit 9713b86, healthy after 41 s"),
        (
            result(rollout=HEALTHY.model_copy(update={"endpoint": "200"})),
            "Completed",
            "dev: 85000dc -> dff1a53, commit 9713b86, healthy after 41 s, endpoint answers 200",
        ),
        (
            result(rollout=Rollout(application="flowise-dev", status="skipped", message="not set")),
            "Completed",
            "dev: 85000dc -> dff1a53, commit 9713b86, rollout not checked",
        ),
        (
            result(**NOTHING),
            "Unchanged",
            "dev: nothing to commit, dff1a53 is in place, healthy after 41 s",
        ),
        (result(**NOTHING, skipped="dev has a newer one."), "Skipped", "Skipped: dev has a newer one."),
        (
            result(changed=False, rollout=None),
            "DryRun",
            "dev: 85000dc -> dff1a53, dry run: nothing was written",
        ),
        (
            result(changed=False, proposed=True, pull_request="https://host/pull/7", rollout=None),
            "Proposed",
            "dev: 85000dc -> dff1a53, proposed by https://host/pull/7",
        ),
        (
            result(rollout=Rollout(application="flowise-dev", status="superseded", message="commit 1 is newer")),
            "Superseded",
            "dev: 85000dc -> dff1a53, commit 9713b86, superseded: commit 1 is newer",
        ),
    ],
)
def test_an_update_in_one_sentence(made: UpdateResult, name: str, said: str) -> None:
    assert (outcome.state_name(made), outcome.of_update(made)) == (name, said)


def delivery(update: UpdateResult | None) -> DeployResult:
    server, ui = (
        BuiltImage(uri="r/x:t", repository=f"flowise-{name}", tags=("t",), digest=NEW.digest, built=name == "ui")
        for name in ("server", "ui")
    )
    return DeployResult(
        environment="dev",
        tag="dff1a53",
        sha="d" * 40,
        server=server,
        ui=ui,
        dispatched_via="inline" if update else "repository-dispatch",
        update=update,
    )


def test_a_delivery_tells_what_became_of_its_update() -> None:
    assert outcome.of_deploy(delivery(result())) == (
        "dev: 85000dc -> dff1a53, commit 9713b86, healthy after 41 s. Images: flowise-server reused, flowise-ui built"
    )
    assert outcome.of_deploy(delivery(None)).startswith("dev: dff1a53 sent via repository-dispatch. Images: ")


def test_a_failures_summary_has_step_output_hint_and_link() -> None:
    error = BuildFailed("Dockerfile:7 failed.\n#9 npm `run`\n#9 ``` broken", "Fix packages/ui/Dockerfile.")
    error.step = "build-ui"
    page = failure.page("dev: main", error, "http://prefect/run")
    assert page.startswith("# dev: main: failed in `build-ui`\n\n")
    assert "````text\n#9 npm `run`\n#9 ``` broken\n````" in page
    assert "**What to do:** Fix packages" in page
    assert "[Log of this run](http://prefect/run)" in page


def test_an_unexpected_failure_has_a_summary_as_well() -> None:
    assert "KeyError" in failure.page("dev: main", KeyError("x"))
