# The images of moderate. Targets:
#   matrix-profile   one analysis and nothing else
#   platform-api     the emulator of the platform API, for compose/
#   worker           the code location and its runs
#
# BASE is a Debian 12 (bookworm) image, pinned by digest: images.lock. There
# is no default, so that no build takes whatever a tag points to today.
# Where the registries are behind a certificate authority of your own, give
# its certificates as the build secret `ca`; nothing of it stays.
#
# The virtual environment is at the same place in all images, and first in
# their PATH: the worker asks for an analysis by `python`.
ARG BASE

FROM ${BASE} AS python
ENV LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/moderate/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN apt-get update \
 && apt-get upgrade --yes \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
      --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

FROM python AS builder
ARG UV_VERSION=0.13.8
ENV UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON=/opt/moderate/bin/python \
    UV_PYTHON_DOWNLOADS=never
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
      --no-install-recommends python3-pip python3-setuptools
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
 && python3 -m pip install --break-system-packages --no-cache-dir --quiet \
      "uv==${UV_VERSION}" \
 && uv venv --quiet --python /usr/bin/python3 /opt/moderate
WORKDIR /build
# What changes rarely comes first.
COPY setup.py pyproject.toml requirements.lock ./
COPY scripts/image_requirements.py scripts/image-slim ./scripts/

FROM builder AS matrix-profile-build
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /usr/bin/python3 scripts/image_requirements.py matrix-profile > wanted.txt \
 && uv pip install --quiet --compile-bytecode --verify-hashes \
      --no-build --requirements wanted.txt --constraint requirements.lock \
 && scripts/image-slim /opt/moderate
# Bytecode is compiled, and numba's cache filled, for the place of the code.
COPY moderate/__init__.py /opt/moderate/code/moderate/
COPY moderate/workloads/__init__.py /opt/moderate/code/moderate/workloads/
COPY moderate/workloads/matrix_profile \
     /opt/moderate/code/moderate/workloads/matrix_profile
RUN /opt/moderate/bin/python -m compileall -q /opt/moderate/code \
 && NUMBA_CACHE_DIR=/opt/moderate/numba \
    PYTHONPATH=/opt/moderate/code \
    /opt/moderate/bin/python -c \
      'import moderate.workloads.matrix_profile.kernel' \
 && ls /opt/moderate/numba/*/*.nbi > /dev/null

FROM python AS matrix-profile
COPY --from=matrix-profile-build /opt/moderate /opt/moderate
ENV MATRIX_PROFILE_WARM_CACHE=/opt/moderate/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/moderate/code
ARG REVISION=unknown
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="moderate matrix profile" \
      org.opencontainers.image.description="Matrix profile of one column of a table, as a report in HTML" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
USER 10001:10001
WORKDIR /tmp
# It serves nothing and ends by itself: there is no health to check.
CMD ["/opt/moderate/bin/python", "-m", "moderate.workloads.matrix_profile"]

FROM builder AS platform-api-build
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /usr/bin/python3 scripts/image_requirements.py core local > wanted.txt \
 && uv pip install --quiet --compile-bytecode --verify-hashes \
      --requirements wanted.txt --constraint requirements.lock
COPY moderate ./moderate
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && uv pip install --quiet --compile-bytecode --no-deps \
      --build-constraints requirements.lock .

FROM python AS platform-api
COPY --from=platform-api-build /opt/moderate /opt/moderate
ENV EMULATOR_HOST=0.0.0.0 \
    EMULATOR_PORT=8000 \
    PYTHONDONTWRITEBYTECODE=1
ARG REVISION=unknown
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="moderate platform API emulator" \
      org.opencontainers.image.description="A stand-in for the platform API, for development" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
USER 10001:10001
WORKDIR /data
EXPOSE 8000
# Any answer will do: most of its paths want a token.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
  CMD ["/opt/moderate/bin/python", "-c", \
       "import socket; socket.create_connection(('127.0.0.1', 8000), 3)"]
CMD ["/opt/moderate/bin/python", "-m", "moderate.local.platform_api"]

FROM builder AS worker-build
# Without `openmetadata` the image is a third of the size, and the metadata
# ingestion jobs can't run.
ARG EXTRAS="data-services datasets kubernetes openmetadata"
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && /usr/bin/python3 scripts/image_requirements.py core ${EXTRAS} > wanted.txt \
 && uv pip install --quiet --compile-bytecode --verify-hashes \
      --requirements wanted.txt --constraint requirements.lock \
      --build-constraints requirements.lock \
 && scripts/image-slim /opt/moderate
COPY moderate ./moderate
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi \
 && uv pip install --quiet --compile-bytecode --no-deps \
      --build-constraints requirements.lock .

FROM python AS worker
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
      --no-install-recommends git git-lfs \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=worker-build /opt/moderate /opt/moderate
ENV DAGSTER_HOME=/opt/dagster/dagster_home \
    HOME=/tmp \
    MODERATE_LOG_FORMAT=json \
    PYTHONDONTWRITEBYTECODE=1
# The root is read-only where it runs: places to mount at.
RUN mkdir --parents "${DAGSTER_HOME}/storage" \
 && touch "${DAGSTER_HOME}/dagster.yaml"
ARG REVISION=unknown
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="moderate" \
      org.opencontainers.image.description="Event-driven sensor and ingestion workers on Dagster" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
USER 10001:10001
WORKDIR /tmp
EXPOSE 3030
# Of the code server. A run in this image serves nothing; an orchestrator
# that starts it has checks of its own.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
  CMD ["/opt/moderate/bin/dagster", "api", "grpc-health-check", "--port", "3030"]
CMD ["/opt/moderate/bin/dagster", "api", "grpc", "--host", "0.0.0.0", \
     "--port", "3030", "--module-name", "moderate.definitions"]
