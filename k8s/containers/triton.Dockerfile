# Triton with what the model repository's python steps need. Build from the project's root:
#   docker build -f k8s/containers/triton.Dockerfile -t registry.example.com/sat2sound/triton:0.1.0 .
# 26.03 or newer: before it, an ensemble could hang when the queue of a step was full.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.03-py3
FROM ${TRITON_IMAGE}
WORKDIR /opt/sat2sound
COPY pyproject.toml README.md LICENSE ./
COPY requirements/triton-constraints.txt requirements/
COPY sat2sound sat2sound
COPY export export
COPY serving serving
COPY clients clients
# The container's own Python runs the python backend: what its steps import must be installed there. torch is not.
RUN python3 -m pip install --no-cache-dir --break-system-packages -c requirements/triton-constraints.txt \
        ".[triton,fetch,tensorrt]" \
    && python3 -c "import sat2sound.preprocessing, sat2sound.serving"
USER 1000:1000
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1
