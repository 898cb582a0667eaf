# syntax=docker/dockerfile:1
# ampbench for the CPU, or with --target gpu for NVIDIA GPUs. TORCH_INDEX is the index of torch's wheels for the CPU, of its
# installation page; without it, the CPU image holds the CUDA build of the default index, and gigabytes that it does not use.
#   docker build -t ampbench --build-arg TORCH_INDEX=… .
#   docker build -t ampbench:gpu --target gpu .
#   docker run --rm --shm-size=1g -v "$PWD/results:/home/ampbench/results" ampbench run --task two_moons --method npe --budget 1000
#   docker run --rm --gpus all --shm-size=1g -v "$PWD/results:/home/ampbench/results" ampbench:gpu run … --device cuda
# The folder of the results must be writable for the user 1000, or give --user "$(id -u):$(id -g)".
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheel
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# git tells the version by the tags; without .git it is that of .git_archival.txt, or of pyproject.toml.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The files that .dockerignore leaves out are no change of the commit.
RUN if [ -d .git ]; then git config --global --add safe.directory /source; git ls-files --deleted -z \
    | xargs -0 --no-run-if-empty git update-index --skip-worktree --; fi \
    && pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/ampbench/bin:$PATH
RUN python -m venv /opt/ampbench
COPY constraints.txt /tmp/constraints.txt

FROM base AS install-cpu
ARG TORCH_INDEX=
COPY --from=wheel /wheels /wheels
# hadolint ignore=DL3013
RUN torch="$(sed -n 's/^\(torch==[0-9.]*\).*/\1/p' /tmp/constraints.txt)" \
    && pip install ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} "${torch}" \
    && wheel="$(find /wheels -name 'ampbench-*.whl')" \
    && pip install -c /tmp/constraints.txt "${wheel}[sbi]"

FROM base AS install-gpu
COPY --from=wheel /wheels /wheels
RUN wheel="$(find /wheels -name 'ampbench-*.whl')" \
    && pip install -c /tmp/constraints.txt "${wheel}[sbi]"

FROM python:${PYTHON}-slim-bookworm AS runtime
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/ampbench/bin:$PATH HOME=/home/ampbench OMP_NUM_THREADS=1
RUN useradd --uid 1000 --create-home --home-dir /home/ampbench ampbench
WORKDIR /home/ampbench
USER 1000
ENTRYPOINT ["ampbench"]
CMD ["--help"]

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=install-gpu /opt/ampbench /opt/ampbench

FROM runtime AS cpu
COPY --from=install-cpu /opt/ampbench /opt/ampbench
