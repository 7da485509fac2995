"""Names that an installation shares a Prefect server, a GitOps repository and GitHub under, by its application's name.

Two applications on one server share none of them: APPLICATION is the one setting that tells them apart.
"""

from dataclasses import dataclass

DEFAULT = "flowise"
"""The application whose deployments and artifacts have the flows' own names."""


@dataclass(frozen=True)
class Names:
    """The names of one application's things."""

    application: str = DEFAULT

    @property
    def tag(self) -> str:
        """What every run of its deployments carries."""
        return self.application

    @property
    def title(self) -> str:
        """What automations' names and alerts' subjects begin with."""
        return self.application.capitalize()

    @property
    def build_pool(self) -> str:
        """The work pool with the Docker Engine and the registry; also the block with its runs' environment."""
        return f"{self.application}-build"

    @property
    def gitops_pool(self) -> str:
        """The work pool with the GitOps and Argo CD tokens; also the block with its runs' environment."""
        return f"{self.application}-gitops"

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace that workers and runs are in."""
        return f"{self.application}-delivery"

    @property
    def alert_blocks(self) -> str:
        """The notification blocks."""
        return f"{self.application}-alerts"

    @property
    def event(self) -> str:
        """The Prefect event, its trigger, and the ``event_type`` of the GitHub ``repository_dispatch``."""
        return f"{self.application}-image-updated"

    def notification(self, kind: str) -> str:
        """Name the event that people are notified of."""
        return f"{self.application}-notify-{kind}"

    def image_resource(self, environment: str) -> str:
        """Name what the event of new images is about."""
        return f"{self.application}.image.{environment}"

    def environment_resource(self, environment: str) -> str:
        """Name what a notification is about."""
        return f"{self.application}.environment.{environment}"

    def alert(self, what: str) -> str:
        """Name the automation that sends an alert."""
        return f"{self.title} alert: {what}"

    def recovery(self, what: str) -> str:
        """Name the trigger that has a lost run started again."""
        return f"{self.title} recovery: {what}"

    def limit(self, environment: str) -> str:
        """Name the global concurrency limit of an environment's runs."""
        return f"{self.application}-{environment}"

    def build_limit(self, image: str) -> str:
        """Return how the names of the limits of an image's builds begin."""
        return f"slot-build-{self.own(image.replace('/', '-'))}"

    def variable(self, setting: str) -> str:
        """Name a Prefect variable; those have no hyphens."""
        return f"{self.application.replace('-', '_')}_{setting}"

    def deployment(self, default: str) -> str:
        """Name a deployment, ``flow/name``, by what the default application's is called."""
        flow, _, name = default.partition("/")
        return f"{flow}/{self.own(name)}"

    def proposal(self, environment: str) -> str:
        """Name the branch that a pull request for an environment comes from, and the status of source commits."""
        return f"{self.application}/{environment}"

    def own(self, name: str) -> str:
        """Return the name of a deployment or an artifact by what the default application's is called."""
        return name if self.application == DEFAULT else f"{self.application}-{name}"
