"""Local real parts and named stand-ins, for the tests, ``make demo`` and ``make ui``.

Real: Docker Engine (``engine``), OCI registry (``registry``), git repositories (``repositories``),
Prefect server (``prefect_server``). Stand-ins, where no real part runs locally: Amazon ECR (``ecr``),
GitHub (``github``) and Argo CD (``argocd``). Each is a context manager that listens on 127.0.0.1 alone, writes
only into the folder it is given, and on its way out ends exactly what it started.
"""
