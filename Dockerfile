# One static binary on a base that holds certificates, time zones and no shell.
ARG GO_VERSION=1.26
FROM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY Makefile VERSION ./
COPY cmd ./cmd
COPY internal ./internal
COPY manifests ./manifests
COPY pkg ./pkg
# There is no git repository here to read them from.
ARG COMMIT=""
ARG DATE=""
RUN make build COMMIT="${COMMIT}" DATE="${DATE}"

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /src/bin/cip /usr/local/bin/cip
COPY LICENSE /usr/share/doc/cip/LICENSE
ENTRYPOINT ["/usr/local/bin/cip"]
