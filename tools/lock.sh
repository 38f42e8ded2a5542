#!/bin/sh
# Finds the exact versions of everything anew: installs the extras without constraints into fresh environments and
# writes what pip chose to requirements/*constraints.txt. Run the tests afterwards and commit both files.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3.11}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

lock() { # NAME EXTRAS OUTPUT
    echo "locking $3" >&2
    "$python" -m venv "$scratch/$1"
    "$scratch/$1/bin/python" -m pip install -q --disable-pip-version-check ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -e ".[$2]"
    {
        echo "# Exact versions, found by 'make lock'. What is asked for stands in pyproject.toml."
        # A local version label (torch 2.13.0+cpu) names a build of one index; the pin must hold for all.
        "$scratch/$1/bin/python" -m pip freeze --exclude-editable | sed 's/+cpu$//'
    } > "$3"
}

lock venv client,geo,model,export,caption,train,map,gateway,tensorrt,dev requirements/constraints.txt
lock triton triton requirements/triton-constraints.txt
# Triton's image brings Python 3.12, and what its init steps need beside the server's part (k8s/containers).
echo "locking requirements/triton-image-constraints.txt" >&2
"$scratch/venv/bin/python" -m tools.lock_image triton,fetch,tensorrt 3.12 > "$scratch/image"
mv "$scratch/image" requirements/triton-image-constraints.txt
