# Workers of Dataflow with everything installed: the locked versions, and this checkout. Build it in the root of a checkout:
#   docker build -f runners/dataflow.Dockerfile -t IMAGE .
# The same image can run the command that submits the job: docker run --entrypoint linesmith IMAGE generate …
ARG BEAM=2.70.0
FROM apache/beam_python3.11_sdk:${BEAM}

WORKDIR /opt/linesmith
COPY requirements.lock requirements-bootstrap.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
 && uv pip install --system --no-cache --require-hashes -r requirements.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY linesmith linesmith
COPY pipelines pipelines
COPY transforms transforms
COPY model model
COPY runners runners
RUN uv pip install --system --no-cache --no-deps --no-build-isolation . \
 && python -c "import linesmith, apache_beam, tensorflow"

# Nothing is installed when a worker starts, and the SDK runs in this environment rather than in one of its own.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 TF_CPP_MIN_LOG_LEVEL=3
ENTRYPOINT ["/opt/apache/beam/boot"]
