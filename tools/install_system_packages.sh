#!/bin/bash
# Installs the Debian packages that some tests and benchmarks use, or says plainly what is missing.
# Nothing here is needed to serve; a test whose program is missing skips and names it.
set -euo pipefail

# program or library -> package -> what for
needs=(
    "prometheus      prometheus      the scraping test"
    "libb64.so.0d    libb64-0d       perf_analyzer (tests and benchmarks with Triton's load generator)"
    "h2load          nghttp2-client  make bench"
    "buildah         buildah         make image, make image-test"
    "debootstrap     debootstrap     make image-test (the base image)"
)

there() {
    case $1 in
        *.so.*) ldconfig -p 2>/dev/null | grep -q "$1" ;;
        *) command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 ]] ;;
    esac
}

missing=() packages=()
for need in "${needs[@]}"; do
    read -r what package purpose <<<"$need"
    there "$what" && continue
    missing+=("$package: $purpose")
    packages+=("$package")
done
((${#packages[@]})) || exit 0

if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get -qq update && apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null; then
        exit 0
    fi
    echo "apt-get could not install them all" >&2
fi
echo "These Debian packages are missing; what uses them is skipped:" >&2
printf '  %s\n' "${missing[@]}" >&2
echo "  (as root: apt-get install --no-install-recommends ${packages[*]})" >&2
