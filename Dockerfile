# The isthmus binary and nothing else: no shell, no package manager, not root. Static, so that scratch will do.
#   docker build -t isthmus .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/usr/local/bin/ ./cmd/isthmus ./examples/docker-compose/healthcheck
# Volumes take the owner of the folder that they are first mounted on.
RUN mkdir -p /out/var/lib/isthmus /out/bucket /out/tmp /out/etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/

FROM scratch
COPY --from=build --chown=65532:65532 /out/ /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/isthmus"]
