"""The files of the sample GitOps repository: one base, and overlays in the styles people write."""

from textwrap import dedent

APP = "argocd/apps/flowise"
"""Where everything about Flowise lives in the repository."""

REGISTRY = "123456789012.dkr.ecr.ap-southeast-1.amazonaws.com"
"""The registry the overlays name before anything was deployed."""

OLD_DIGEST = "sha256:" + "0123456789abcdef" * 4
"""A digest nothing in the sandbox has."""


def base_and_dev() -> dict[str, str]:
    """The first commit's files."""
    return {"README.md": "# DevOps\n", **_base(), **overlay("dev")}


def overlay(environment: str) -> dict[str, str]:
    """One environment's overlay and its Argo CD application."""
    return {
        f"{APP}/overlays/{environment}/kustomization.yaml": _OVERLAYS[environment],
        f"argocd/applications/flowise-{environment}.yaml": _application(environment),
    }


def _text(content: str) -> str:
    return dedent(content).lstrip("\n")


def _base() -> dict[str, str]:
    return {
        f"{APP}/base/kustomization.yaml": _text("""
            apiVersion: kustomize.config.k8s.io/v1beta1
            kind: Kustomization
            resources:
              - server.yaml
              - ui.yaml
        """),
        f"{APP}/base/server.yaml": _workload("flowise-server", 3000, "/api/v1/ping"),
        f"{APP}/base/ui.yaml": _workload("flowise-ui", 8080, "/"),
    }


def _workload(name: str, port: int, path: str) -> str:
    return _text(f"""
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          name: {name}
          labels: {{app: {name}}}
        spec:
          replicas: 1
          selector:
            matchLabels: {{app: {name}}}
          template:
            metadata:
              labels: {{app: {name}}}
            spec:
              containers:
                - name: {name}
                  image: {name}
                  ports: [{{containerPort: {port}}}]
                  readinessProbe:
                    httpGet: {{path: {path}, port: {port}}}
        ---
        apiVersion: v1
        kind: Service
        metadata:
          name: {name}
        spec:
          selector: {{app: {name}}}
          ports: [{{port: 80, targetPort: {port}}}]
    """)


def _application(environment: str) -> str:
    return _text(f"""
        apiVersion: argoproj.io/v1alpha1
        kind: Application
        metadata:
          name: flowise-{environment}
          namespace: argocd
        spec:
          project: default
          source:
            repoURL: https://github.com/example/devops.git
            targetRevision: main
            path: {APP}/overlays/{environment}
          destination:
            server: https://kubernetes.default.svc
            namespace: flowise-{environment}
          syncPolicy:
            automated: {{prune: true, selfHeal: true}}
    """)


_DEV = _text(f"""
    apiVersion: kustomize.config.k8s.io/v1beta1
    kind: Kustomization

    namespace: flowise-dev

    resources:
    - ../../base

    # Written by the pipeline; edit anything else by hand.
    images:
    - name: flowise-server
      newName: {REGISTRY}/flowise-server
      newTag: latest  # until the first deployment
    - name: flowise-ui
      newName: {REGISTRY}/flowise-ui
      newTag: latest

    # Dev is small on purpose.
    replicas:
    - name: flowise-server
      count: 1
""")

_STAGING = _text(f"""
    # Staging mirrors production, one size smaller.
    apiVersion: kustomize.config.k8s.io/v1beta1
    kind: Kustomization
    namespace: flowise-staging
    resources:
      - ../../base
    images:
      # UI first: it was here before the server.
      - name: "flowise-ui"
        newName: "{REGISTRY}/flowise-ui"
        newTag: "0123456"

      - name: "flowise-server"
        newName: "{REGISTRY}/flowise-server"
        newTag: "0123456"
    labels:
      - pairs: {{environment: staging}}
""")

_PRODUCTION = _text(f"""
    ---
    kind: Kustomization
    apiVersion: kustomize.config.k8s.io/v1beta1
    images:
        - {{name: flowise-server, newName: {REGISTRY}/flowise-server, digest: "{OLD_DIGEST}"}}
        -   digest: {OLD_DIGEST}    # pinned by the release manager
            name: flowise-ui
            newName: {REGISTRY}/flowise-ui
    namespace: flowise-production
    resources: [../../base]
    replicas:
        - name: flowise-server
          count: 3
        - name: flowise-ui
          count: 2
""")

_OVERLAYS = {"dev": _DEV, "staging": _STAGING, "production": _PRODUCTION}
