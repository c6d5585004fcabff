# Orderkeep in a container: ingest, the API, or both. docs/deployment.md says how to run it.
#
#     docker build -t orderkeep .
#     docker run --rm --read-only orderkeep config
#
# A newer Python: take its digest with `docker buildx imagetools inspect python:3.13-slim-trixie`.
ARG PYTHON=python:3.13.14-slim-trixie@sha256:6771159cd4fa5d9bba1258caf0b82e6b73458c694d178ad97c5e925c2d0e1a91

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
# The packages before the sources, so that a change of the sources does not install them again.
COPY requirements-image.lock ./
RUN python3 -m venv /opt/orderkeep \
    && /opt/orderkeep/bin/pip install --quiet --require-hashes --only-binary :all: -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# Everything is compiled when it is installed: nothing is written there later.
RUN /opt/orderkeep/bin/pip install --quiet --no-deps --no-build-isolation . \
    && /opt/orderkeep/bin/pip uninstall --quiet --yes editables hatchling pip

FROM ${PYTHON}
LABEL org.opencontainers.image.title="orderkeep" \
      org.opencontainers.image.description="Takes orders from a message broker, keeps every one in PostgreSQL, serves them by id from memory." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/orderkeep /opt/orderkeep
ENV PATH=/opt/orderkeep/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1
# A number, so that Kubernetes can see that it is not root; it owns nothing and needs no home.
USER 10001:10001
WORKDIR /
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Of the API; a container of ingest alone asks `orderkeep health ingest`, as compose.yaml does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["orderkeep", "health"]
ENTRYPOINT ["orderkeep"]
CMD ["serve"]
