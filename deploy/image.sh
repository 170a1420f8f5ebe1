#!/bin/bash
# Builds the container image with buildah, and tests it by running it; no Docker daemon is needed.
#
#   deploy/image.sh build [arguments of buildah bud]   e.g. --build-arg EXECUTOR=cuda
#   deploy/image.sh test  [arguments of pytest]
#
# Storage lies in build/image (IMAGE_STORAGE says where else). Where the Dockerfile's base image cannot
# be pulled, and always with IMAGE_BASE=debootstrap, it is made from Debian's own packages and tagged
# with its name. pip's settings of this machine (mirrors, certificates) reach the build as mounts and
# leave nothing in the image but empty mount points.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export IMAGE_STORAGE=${IMAGE_STORAGE:-$PWD/build/image}
export IMAGE_TAG=${IMAGE_TAG:-localhost/gluonserve:latest}
PATH=$PATH:/usr/sbin
base=$(sed -n 's/^ARG BASE=//p' Dockerfile)

stored() {
    buildah --storage-driver vfs --root "$IMAGE_STORAGE/layers" --runroot "$IMAGE_STORAGE/run" "$@"
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        echo "image: $program is not installed (as root: apt-get install $program)" >&2
        exit 1
    done
}

ensure_base() {
    stored inspect --type image "$base" >/dev/null 2>&1 && return
    if [[ ${IMAGE_BASE:-} != debootstrap ]] && stored pull --quiet "$base" >/dev/null 2>&1; then
        return
    fi
    make_base
}

make_base() {
    need debootstrap
    local root=$IMAGE_STORAGE/base suite=${base##*:} work
    suite=${suite%-slim}
    echo "image: $base cannot be pulled; making it from Debian's packages" >&2
    rm -rf "$root"
    debootstrap --variant=minbase "$suite" "$root" >"$IMAGE_STORAGE/debootstrap.log"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
        "$root"/usr/share/{doc,man,locale}/*
    tar -C "$root" -cf "$IMAGE_STORAGE/base.tar" .
    work=$(stored from scratch)
    stored add --quiet "$work" "$IMAGE_STORAGE/base.tar" / >/dev/null
    stored config --cmd bash \
        --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$work"
    stored commit --quiet --rm "$work" "$base" >/dev/null
    rm -rf "$root" "$IMAGE_STORAGE/base.tar"
}

# The mounts that give a build this machine's pip settings: its indexes, but not local folders, and
# its certificates.
pip_mounts() {
    local settings=$IMAGE_STORAGE/pip.conf certificates
    certificates=$(python3 -m pip config get global.cert 2>/dev/null || echo "${PIP_CERT:-}")
    {
        echo "[global]"
        python3 -m pip config list | sed -n "s/^global\.\(.*index-url\)='\(.*\)'$/\1 = \2/p" \
            | sed -E 's#file://[^ ]*##g' | grep -v '= *$' || true
        [[ -z $certificates ]] || echo "cert = /mnt/certificates.pem"
    } >"$settings"
    echo "--volume=$settings:/etc/pip.conf:ro"
    [[ -z $certificates ]] || echo "--volume=$certificates:/mnt/certificates.pem:ro"
}

build() {
    local mounts
    need buildah
    mkdir -p "$IMAGE_STORAGE"
    ensure_base
    mapfile -t mounts < <(pip_mounts)
    stored bud --isolation chroot --format docker --pull-never --quiet --tag "$IMAGE_TAG" \
        "${mounts[@]}" "$@" .
}

case ${1:-} in
    build) build "${@:2}" ;;
    test) build >/dev/null && exec .venv/bin/python -m pytest tests/image -m slow "${@:2}" ;;
    *) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
