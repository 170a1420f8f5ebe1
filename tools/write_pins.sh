#!/bin/bash
# Writes constraints.txt and constraints-mxnet.txt from the two environments as they are now.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# pins ENVIRONMENT FILE SENTENCE
pins() {
    {
        echo "# $3"
        echo "# Written by \`make pins\` from $("$1/bin/python" --version)."
        "$1/bin/python" -m pip freeze --all --exclude-editable --disable-pip-version-check | grep -v -e '^#' -e '^setuptools=='
    } >"$2.new"
    mv "$2.new" "$2"
    echo "$2: $(grep -c == "$2") pins"
}

pins .venv constraints.txt "What users run, and the tools that test it (Python 3.11 to 3.13): no MXNet, current NumPy."
pins .venv-mxnet constraints-mxnet.txt "The oracle's environment: MXNet 1.9.1 and what it needs."
