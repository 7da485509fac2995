# The image of the workers and of their runs, for Docker, Kubernetes and ECS work pools: docs/work-pools.md.
# BASE is any Debian from trixie on, or an image made from one; its package sources and certificates are used.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
        ca-certificates docker-buildx docker-cli git openssh-client python3 tini \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/*

# What requirements.lock has, each file checked against its hash, in an environment without pip.
FROM base AS dependencies
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
WORKDIR /opt/flowise-delivery
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip .venv
COPY requirements.lock ./
RUN /opt/pip/bin/pip --python .venv/bin/python install --no-cache-dir --require-hashes -r requirements.lock

# The programs, and the compiled code: a worker may not write here.
FROM dependencies AS project
COPY pyproject.toml prefect.yaml README.md LICENSE ./
COPY flows flows
COPY tasks tasks
RUN /opt/pip/bin/pip --python .venv/bin/python install --no-cache-dir --no-deps --no-build-isolation \
        --prefix /opt/project --editable . \
 && python3 -m compileall -q flows tasks

FROM base
RUN useradd --uid 10001 --create-home delivery
WORKDIR /opt/flowise-delivery
COPY --from=dependencies /opt/flowise-delivery/.venv .venv
COPY --from=project /opt/project .venv
COPY --from=project /opt/flowise-delivery/pyproject.toml /opt/flowise-delivery/prefect.yaml ./
COPY --from=project /opt/flowise-delivery/flows flows
COPY --from=project /opt/flowise-delivery/tasks tasks
ENV PATH=/opt/flowise-delivery/.venv/bin:$PATH
USER 10001:10001
ENTRYPOINT ["tini", "-g", "--"]
CMD ["prefect", "worker", "start", "--help"]
