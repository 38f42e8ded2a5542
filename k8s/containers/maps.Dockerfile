# Dask scheduler and workers of maps; also runs `sat2sound map`. Build from the project's root:
#   docker build -f k8s/containers/maps.Dockerfile -t registry.example.com/sat2sound/maps:0.1.0 .
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}
WORKDIR /opt/sat2sound
COPY pyproject.toml README.md LICENSE ./
COPY requirements/constraints.txt requirements/
COPY sat2sound sat2sound
COPY export export
COPY serving serving
COPY clients clients
RUN python3 -m pip install --no-cache-dir -c requirements/constraints.txt ".[client,geo,map]" \
    && sat2sound map embed --help >/dev/null
USER 1000:1000
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1
