# demure as a container: `gunicorn app:app` as a user without a name, which writes to /data, /dev/shm and /tmp alone.
# Not built by Docker yet. On 2026-11-23 buildah 1.28 built it on Debian 12 with CPython 3.11.7 in place of the base named below, and
# the result ran with a read-only root: docs/deploying.md says how, and what was seen. Python 3.11 is the version that all tests run with.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Without pip of its own: what is copied on below can install nothing.
RUN ["python", "-m", "venv", "--without-pip", "/opt/demure"]
COPY requirements/postgres.txt ./
# Wheels alone: nothing is compiled, and no archive's set-up script runs. pip compiles the modules to bytecode, which saves each start a second.
RUN ["python", "-m", "pip", "--python", "/opt/demure/bin/python", "install", "--require-hashes", "--only-binary", ":all:", "-r", "postgres.txt"]
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN ["python", "-m", "pip", "--python", "/opt/demure/bin/python", "install", "--no-index", "--no-deps", "--no-build-isolation", "."]

FROM ${PYTHON} AS service
LABEL org.opencontainers.image.title="demure" \
      org.opencontainers.image.description="Tells whether an uploaded image is adult, safe, or something a person must look at." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/demure /opt/demure
WORKDIR /srv/demure
COPY app.py gunicorn.conf.py LICENSE NOTICE ./
# A folder and no VOLUME: where nobody mounts one, demure sees that and warns that reviews will be gone.
RUN ["install", "--directory", "--owner=10001", "--group=10001", "--mode=0700", "/data"]
# ORT_DISABLE_TELEMETRY: ONNX Runtime would otherwise tell its makers of each start.
ENV PATH=/opt/demure/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    DEMURE_DATA_DIR=/data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8080') + '/livez', timeout=4)"]

# Only where a volume comes mounted as root's, as on Fly (fly.toml names this stage): it hands /data over, and is root no more.
FROM service AS roots-volume
CMD ["sh", "-c", "chown 10001:10001 /data && exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all gunicorn --worker-tmp-dir /dev/shm app:app"]

FROM service
# A number: a cluster that demands runAsNonRoot cannot look up a name.
USER 10001:10001
CMD ["gunicorn", "--worker-tmp-dir", "/dev/shm", "app:app"]
