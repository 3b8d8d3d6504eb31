# Image of Dataflow workers, with the locked versions of all packages and this checkout. Build it in the root of a checkout:
#   docker build -f runners/dataflow.Dockerfile -t IMAGE .
# The same image can run the command that submits the job: docker run --entrypoint linesmith IMAGE generate …
# It is the image of the Flex Template, too, so that launcher and worker have the same versions of everything.
ARG BEAM=2.70.0
ARG LAUNCHER=20230622_RC00
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:${LAUNCHER} AS launcher

FROM apache/beam_python3.11_sdk:${BEAM}

WORKDIR /opt/linesmith
COPY requirements-3.11.lock requirements-bootstrap.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
 && uv pip install --system --no-cache --require-hashes -r requirements-3.11.lock
COPY pyproject.toml setup.py README.md LICENSE ./
# linesmith/ holds links to the other folders.
COPY linesmith linesmith
COPY core core
COPY records records
COPY model model
COPY evaluation evaluation
COPY transforms transforms
COPY runners runners
COPY pipelines pipelines
RUN uv pip install --system --no-cache --no-deps --no-build-isolation . \
 && python -c "import linesmith, apache_beam, tensorflow"

# If the image is a template's, Google's launcher starts this file. Workers use neither.
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
RUN mkdir /template && echo 'from linesmith.flex_template.launcher import main; main()' > /template/main.py
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py

# Nothing is installed when a worker starts, and the SDK runs in this environment, not in a new one.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 TF_CPP_MIN_LOG_LEVEL=3
ENTRYPOINT ["/opt/apache/beam/boot"]
