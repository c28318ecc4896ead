# syntax=docker/dockerfile:1
# One file, two images: `--target service` (FastAPI, PyTorch) and `--target page` (Streamlit, no PyTorch).
# PyTorch's own index has CPU-only wheels of about 200 MB; PyPI's bring gigabytes of CUDA. Name it when you build:
#   docker build --target service --build-arg TORCH_INDEX=... -t vsearch-service .
# Left empty, PyPI's are taken: they run on a CPU too.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin vsearch

FROM base AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY vsearch vsearch
COPY callbacks callbacks

FROM build AS build-service
ARG TORCH_INDEX=""
ARG EXTRAS=serve
# hadolint ignore=DL3013
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision && pip install ".[$EXTRAS]"

FROM build AS build-page
# hadolint ignore=DL3013
# without vsearch's own dependencies: the page asks the service, and needs no PyTorch
RUN pip install --no-deps . && pip install "httpx>=0.28" "pydantic>=2.10" "tenacity>=9.0" "streamlit>=1.60"

FROM base AS service
COPY --from=build-service /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH VSEARCH_HOST=0.0.0.0 VSEARCH_BEHIND_PROXY=true
USER 10001
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "vsearch", "serve"]
CMD ["/data/bundle"]

FROM base AS page
COPY --from=build-page /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp
USER 10001
WORKDIR /tmp
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/page/_stcore/health', timeout=2)"]
ENTRYPOINT ["python", "-m", "vsearch", "ui", "--host", "0.0.0.0", "--base-path", "page"]
CMD ["--service", "http://service:8000"]
