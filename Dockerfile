# The gluonserve image: the pinned server in a virtual environment on Debian, and nothing that builds.
#
#   docker build -t gluonserve .
#   docker run --rm -p 8000:8000 -p 8001:8001 -p 8002:8002 -v "$PWD/models:/models:ro" gluonserve
#
# EXECUTOR=cpu   OpenVINO and ONNX Runtime on the CPU. `make image-test` builds and runs this one.
# EXECUTOR=cuda  ONNX Runtime with its CUDA provider and the CUDA libraries from PyPI instead; run it
#                with the NVIDIA container toolkit (`docker run --gpus all ...`). Not built by any test.

ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS builder
ARG EXECUTOR=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv python3-pip \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv --without-pip /opt/gluonserve
COPY constraints.txt /src/
COPY server /src/server
COPY clients/python /src/client
WORKDIR /src
RUN python3 -m pip --python /opt/gluonserve/bin/python install -c constraints.txt ./server ./client
RUN if [ "$EXECUTOR" = cuda ]; then \
        python3 -m pip --python /opt/gluonserve/bin/python uninstall -y onnxruntime \
        && python3 -m pip --python /opt/gluonserve/bin/python install \
            -c constraints.txt "onnxruntime-gpu[cuda,cudnn]"; \
    elif [ "$EXECUTOR" != cpu ]; then echo "EXECUTOR is cpu or cuda, not $EXECUTOR" >&2; exit 1; fi
# What no model here is ever served with: OpenVINO's other devices and front ends, test suites.
RUN cd /opt/gluonserve/lib/python3*/site-packages \
    && rm -f openvino/libs/libopenvino_intel_gpu_plugin.so openvino/libs/libopenvino_intel_npu_plugin.so \
        openvino/libs/cache.json openvino/libs/libopenvino_tensorflow*_frontend.so* \
        openvino/libs/libopenvino_pytorch_frontend.so* openvino/libs/libopenvino_paddle_frontend.so* \
        openvino/libs/libopenvino_jax_frontend.so* openvino/libs/libopenvino_gguf_frontend.so* \
    && rm -rf onnx/backend/test onnxruntime/transformers onnxruntime/quantization onnxruntime/tools \
    && find . -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} + \
    && /opt/gluonserve/bin/python -m compileall -q .

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin gluonserve
COPY --from=builder /opt/gluonserve /opt/gluonserve
ENV PATH=/opt/gluonserve/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 10001:10001
VOLUME /models
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["gluonserve", "health"]
ENTRYPOINT ["gluonserve"]
CMD ["serve", "/models"]
