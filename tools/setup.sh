#!/bin/sh
# Creates or updates the two environments: .venv (model, export, clients, tests) and .triton (the server).
# usage: setup.sh [runtime|dev|triton]...   Does nothing for an environment that is up to date.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\033[1m[setup]\033[0m %s\n' "$*" >&2; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3.11 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
[ -n "$python" ] || { say "Python 3.11 was not found; install it or run: make PYTHON=/path/to/python3.11 ..."; exit 1; }

# A stamp holds the digest of what was installed, so that a changed pin or a moved folder installs again.
digest() { { cat "$@" pyproject.toml; pwd; } | sha256sum | cut -d' ' -f1; }

# install ENVIRONMENT STAMP LABEL REQUIREMENTS NO_DEPS_REQUIREMENTS
install() {
    environment=$1 stamp=$1/.installed-$2 label=$3
    shift 3
    wanted=$(digest "$@")
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
    say "$label -> $environment (once, about a minute)"
    [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
    options="-q --disable-pip-version-check"
    [ -n "${TORCH_INDEX:-}" ] && options="$options --extra-index-url $TORCH_INDEX"
    log=$environment/install-$$.log
    for file in "$@"; do
        no_deps=""
        case "$file" in *no-deps*) no_deps="--no-deps" ;; esac
        # shellcheck disable=SC2086 (options are meant to be split)
        "$environment/bin/pip" install $options $no_deps -r "$file" 2>"$log" ||
            { cat "$log" >&2; say "installing $file failed; see above"; exit 1; }
    done
    # The project itself: editable, its dependencies are the pins above.
    "$environment/bin/pip" install -q --disable-pip-version-check --no-deps -e . 2>"$log" || { cat "$log" >&2; exit 1; }
    rm -f "$log"
    echo "$wanted" > "$stamp"
    say "$environment is ready"
}

pids=""
for part in "$@"; do
    case "$part" in
        runtime) install .venv runtime "packages for model, export and clients" \
            requirements/runtime.txt requirements/runtime-no-deps.txt & ;;
        dev) { install .venv runtime "packages for model, export and clients" \
            requirements/runtime.txt requirements/runtime-no-deps.txt
            install .venv dev "test tools" requirements/dev.txt; } & ;;
        triton) install .triton triton "the Triton server and its packages" \
            requirements/triton.txt requirements/triton-no-deps.txt & ;;
        *) say "unknown part $part"; exit 2 ;;
    esac
    pids="$pids $!"
done
for pid in $pids; do wait "$pid" || exit 1; done
