# One file, two images: `--target page` (Streamlit) and `--target service` (FastAPI, ONNX Runtime). Neither has PyTorch.
#   docker build --target service -t vsearch-service .
# EXTRAS: groups and extras of pyproject.toml; serve,pytorch serves a bundle without an export, serve,milvus and
# serve,pgvector one whose index is there. PyTorch's own index has CPU-only wheels of about 200 MB, PyPI's bring
# gigabytes of CUDA: name it in TORCH_INDEX. The page comes first, as the old builder makes all that stands above.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/opt/vsearch PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin vsearch

FROM python:${PYTHON} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/uv/bin:$PATH
# hadolint ignore=DL3013
RUN python -m venv /opt/uv && pip install --no-cache-dir uv && uv venv --python /usr/local/bin/python /opt/venv
WORKDIR /src
COPY pyproject.toml deploy/requirements.py ./

FROM build AS vsearch
COPY README.md LICENSE ./
COPY configs configs
COPY vsearch vsearch
COPY callbacks callbacks
RUN uv pip install --no-deps --target /opt/vsearch .

FROM build AS build-page
RUN python requirements.py ui >wanted.txt && uv pip install -r wanted.txt

FROM base AS page
COPY --from=build-page /opt/venv /opt/venv
COPY --from=vsearch /opt/vsearch /opt/vsearch
ENV HOME=/tmp
USER 10001
WORKDIR /tmp
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/page/_stcore/health', timeout=2)"]
ENTRYPOINT ["python", "-m", "vsearch", "ui", "--host", "0.0.0.0", "--base-path", "page"]
CMD ["--service", "http://service:8000"]

FROM build AS build-service
ARG EXTRAS=serve
ARG TORCH_INDEX=""
# an index of its own knows no dates, so pyproject.toml's is left out for it
RUN if [ -n "$TORCH_INDEX" ]; then uv --no-config pip install --index-url "$TORCH_INDEX" torch torchvision; fi
# without tests and C headers: a tenth of it
RUN python requirements.py "serving,$EXTRAS" >wanted.txt && uv pip install -r wanted.txt \
    && find /opt/venv -type d \( -name tests -o -name include \) -prune -exec rm -r {} +

FROM base AS service
COPY --from=build-service /opt/venv /opt/venv
COPY --from=vsearch /opt/vsearch /opt/vsearch
ENV VSEARCH_HOST=0.0.0.0 VSEARCH_BEHIND_PROXY=true
USER 10001
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "vsearch", "serve"]
CMD ["/data/bundle"]
