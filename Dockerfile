# docker build -t foretoll . && docker run --rm -v "$PWD:/project" foretoll doctor
FROM python:3.11-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
ARG PIP_OPTIONS=""
COPY --from=wheel /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir $PIP_OPTIONS --constraint /wheels/constraints.txt /wheels/*.whl \
    && rm -r /wheels \
    && useradd --create-home --uid 1000 user
USER user
WORKDIR /project
ENTRYPOINT ["foretoll"]
CMD ["--help"]
