# Triton with what the model repository's python steps and the pods' init steps need. Build from the project's root:
#   docker build -f k8s/containers/triton.Dockerfile -t registry.example.com/sat2sound/triton:0.1.0 .
# 26.03 or newer: before it, an ensemble could hang when the queue of a step was full.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.03-py3
FROM ${TRITON_IMAGE}
WORKDIR /opt/sat2sound
COPY pyproject.toml README.md LICENSE ./
COPY requirements/triton-image-constraints.txt requirements/
COPY sat2sound sat2sound
COPY export export
COPY serving serving
COPY clients clients
# The container's own Python (3.12) runs the python backend: what its steps import must be installed there. torch is not.
RUN python3 -m pip install --no-cache-dir --break-system-packages -c requirements/triton-image-constraints.txt \
        ".[triton,fetch,tensorrt]" \
    && python3 -c "import sat2sound.preprocessing, sat2sound.serving, sat2sound.export.tensorrt.placing"
# Engines run only in the version of TensorRT that built them, and Triton uses the image's own. So its Python bindings are of
# exactly that version, without the wheel that would bring libraries of its own. NVIDIA's images name both versions.
ARG TENSORRT_VERSION
RUN version="${TENSORRT_VERSION:-${TRT_VERSION%%+*}}" cuda="cu${CUDA_VERSION%%.*}" \
    && test -n "$version" || { echo "give --build-arg TENSORRT_VERSION=<the image's>" >&2; exit 1; } \
    && python3 -m pip install --no-cache-dir --break-system-packages --no-deps \
        "tensorrt_$cuda==$version" "tensorrt_${cuda}_bindings==$version" \
    && python3 -c "import tensorrt; assert tensorrt.__version__.startswith('$version')"
USER 1000:1000
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1
