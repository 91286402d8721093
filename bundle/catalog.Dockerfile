# Written by go run ./hack/bundle from charts/operator; change that.
# docker build -f bundle/catalog.Dockerfile bundle
FROM scratch
LABEL operators.operatorframework.io.index.configs.v1=/configs
COPY catalog /configs/
