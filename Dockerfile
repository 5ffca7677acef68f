# Two images from one checkout, set up with the Makefile's own words.
#   docker build --target serve  -t counterweight-serve  .
#   docker build --target export -t counterweight-export .
FROM python:3.11-slim-bookworm AS base
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 counterweight
WORKDIR /app
ENV PATH="/app/.venv/bin:$PATH" PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
COPY Makefile pyproject.toml constraints.txt README.md LICENSE counterweight.py ./

# The serving host: no torch, no locust.
FROM base AS serve
COPY serve serve
COPY deployments deployments
RUN make setup EXTRAS=serve,postgres && mkdir store && chown counterweight store
USER 10001
# The bundles, and what is written down of rollouts.
VOLUME /app/models /app/store
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
CMD ["counterweight", "serve", "models", "--host", "0.0.0.0", "--store", "sqlite:////app/store/rollouts.db"]

# Where variants are made. Give PIP_EXTRA_INDEX_URL a CPU index of torch to keep CUDA out of the image.
FROM base AS export
ARG PIP_EXTRA_INDEX_URL
COPY serve serve
COPY export export
RUN make setup EXTRAS=export && mkdir -p models build && chown counterweight models build
USER 10001
VOLUME /app/models
ENTRYPOINT ["counterweight", "export"]
CMD ["--help"]
