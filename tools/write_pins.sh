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

# The CUDA build of ONNX Runtime has releases of its own; it is installed in place of the other.
cuda_pins() {
    cat <<'PINS'
# Instead of onnxruntime, on machines with an NVIDIA GPU.
nvidia-cublas==13.10.0.20
nvidia-cuda-nvrtc==13.5.37
nvidia-cuda-runtime==13.5.37
nvidia-cudnn-cu13==9.28.1.4
nvidia-cufft==12.5.0.14
nvidia-curand==10.4.5.25
nvidia-nvjitlink==13.5.37
onnxruntime-gpu==1.31.1
PINS
}

pins .venv constraints.txt "What users run, and the tools that test it (Python 3.11 to 3.13): no MXNet, current NumPy."
cuda_pins >>constraints.txt
pins .venv-mxnet constraints-mxnet.txt "The oracle's environment: MXNet 1.9.1 and what it needs."
