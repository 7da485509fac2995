"""The recipes of CONTRIBUTING.md, carried out on a copy: what they say to change is enough."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
Edit = Callable[..., None]

ENVIRONMENT = """
from prefect.utilities.callables import parameter_schema
from flows import deploy_to_k8s, promote, update_flowise_deployment
from tasks.core.gitops import commit_message
from tasks.core.models import ENVIRONMENTS, ImageUpdate
from tasks.core.settings import Settings

for flow in (deploy_to_k8s, promote, update_flowise_deployment):
    assert "qa" in parameter_schema(flow).properties["environment"]["enum"], flow.name
text = commit_message.message(ImageUpdate(environment="qa", tag="v1"), None, None, commit_message.MessageStyle())
assert commit_message.parse(text)["environment"] == "qa"
assert Settings(approval_required="qa", promotion='{"qa": "dev"}').promotion["qa"] == "dev"
assert Settings().endpoint("qa") == ""
"""

SUBJECT = """
from tasks.core.gitops import commit_message
from tasks.core.models import ImageUpdate

update = ImageUpdate(environment="dev", tag="v1")
text = commit_message.message(update, None, None, commit_message.MessageStyle())
assert text.startswith("deploy(dev): flowise v1\\n"), text
assert commit_message.parse(text)["tag"] == "v1"
"""

IMAGE = """
import inspect
from flows import update_flowise_deployment
from tasks.core.gitops import commit_message
from tasks.core.gitops.writer import images_of
from tasks.core.images import Images
from tasks.core.models import DeployResult, ImageUpdate

digests = {f"{name}_digest": "sha256:" + letter * 64 for name, letter in zip(("server", "ui", "worker"), "abc")}
update = ImageUpdate(environment="dev", tag="v1", **digests)
assert [str(image) for image in images_of(update, "r.example", Images(), ())] == [
    f"r.example/flowise-{name}@{digests[name + '_digest']}" for name in ("server", "ui", "worker")
]
text = commit_message.message(update, None, None, commit_message.MessageStyle())
assert f"Worker-Digest: {digests['worker_digest']}" in text.splitlines()
assert commit_message.parse(text)["digests"]["worker"] == digests["worker_digest"]
assert "worker_digest" in inspect.signature(update_flowise_deployment.fn).parameters
assert "worker" in DeployResult.model_fields
"""


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """Change a file of the copy in ``tmp_path``; what is to be changed stands there once."""
    for folder in ("flows", "tasks"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))

    def change(path: str, before: str, after: str) -> None:
        text = (tmp_path / path).read_text()
        assert text.count(before) == 1, f"{path}: {before!r} stands there {text.count(before)} times"
        (tmp_path / path).write_text(text.replace(before, after))

    return change


def check(copy: Path, code: str) -> None:
    ran = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_an_environment_is_added_in_one_place(edit: Edit, tmp_path: Path) -> None:
    edit("tasks/core/models.py", '["dev", "staging", "production"]', '["dev", "qa", "staging", "production"]')
    check(tmp_path, ENVIRONMENT)


def test_the_commit_subject_is_changed_in_one_file(edit: Edit, tmp_path: Path) -> None:
    path = "tasks/core/gitops/commit_message.py"
    text = (tmp_path / path).read_text()
    text = text.replace(
        "chore({update.environment}): update {style.application} images to",
        "deploy({update.environment}): {style.application}",
    )
    (tmp_path / path).write_text(
        text.replace(
            'chore\\(({"|".join(ENVIRONMENTS)})\\): update ([a-z][a-z0-9-]*) images to',
            'deploy\\(({"|".join(ENVIRONMENTS)})\\): ([a-z][a-z0-9-]*)',
        )
    )
    check(tmp_path, SUBJECT)


def test_a_third_image_is_named_in_the_models_and_the_flows_alone(edit: Edit, tmp_path: Path) -> None:
    models, images = "tasks/core/models.py", "tasks/core/images.py"
    edit(models, '"ui": "UI"}', '"ui": "UI", "worker": "Worker"}')
    edit(
        models,
        "    ui_digest: OptionalDigest = None\n",
        "    ui_digest: OptionalDigest = None\n    worker_digest: OptionalDigest = None\n",
    )
    edit(models, "    ui: BuiltImage\n", "    ui: BuiltImage\n    worker: BuiltImage\n")
    edit(
        images,
        "\n\nclass Images(",
        'WORKER = ImageSpec(name="flowise-worker", dockerfile="packages/worker/Dockerfile")\n\n\nclass Images(',
    )
    edit(
        images,
        "BeforeValidator(_more_of(UI))] = UI\n",
        "BeforeValidator(_more_of(UI))] = UI\n"
        "    worker: Annotated[ImageSpec, BeforeValidator(_more_of(WORKER))] = WORKER\n",
    )
    flow = "flows/update_flowise_deployment.py"
    edit(
        flow,
        "    ui_digest: OptionalDigest = None,\n",
        "    ui_digest: OptionalDigest = None,\n    worker_digest: OptionalDigest = None,\n",
    )
    edit(flow, "ui_digest=ui_digest,\n", "ui_digest=ui_digest,\n        worker_digest=worker_digest,\n")
    check(tmp_path, IMAGE)
