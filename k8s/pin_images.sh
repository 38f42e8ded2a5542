#!/bin/sh
# Pins the images of k8s/components/images by digest: pin_images.sh REGISTRY VERSION
# e.g. k8s/pin_images.sh registry.example.com/sat2sound 0.1.0   (needs kustomize and docker buildx or crane, and a network)
set -eu
[ $# -eq 2 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
registry=$1 version=$2
cd "$(dirname "$0")/components/images"

digest_of() {
    if command -v crane >/dev/null 2>&1; then
        crane digest "$1"
    else
        docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}'
    fi
}

for image in triton gateway maps; do
    digest=$(digest_of "$registry/$image:$version")
    case "$digest" in
        sha256:*) ;;
        *) echo "no digest was found for $registry/$image:$version" >&2; exit 1 ;;
    esac
    kustomize edit set image "sat2sound-$image=$registry/$image@$digest"
    echo "sat2sound-$image -> $registry/$image@$digest"
done
