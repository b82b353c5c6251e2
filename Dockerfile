# Two images from one build: `taskwire`, the service alone, and `gateway`, Envoy with the contract of the same build.
#
#   docker build --target taskwire -t taskwire .
#   docker build --target gateway -t taskwire-gateway .
#
# The service runs as an ordinary user on a read-only root; it writes to /data alone, and with PostgreSQL not even there.

FROM rust:1.95-alpine3.22 AS build
# hadolint ignore=DL3018
RUN apk add --no-cache cmake g++ make musl-dev perl
WORKDIR /src
COPY . .
# On Alpine the program is linked statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin taskwire \
    && mkdir -p /out/data /out/keys \
    && cp target/release/taskwire /out/taskwire \
    && /out/taskwire descriptor >/out/taskwire.binpb
# In a container the gateway listens to all, and the service is another host. And the same with TLS on both sides.
RUN sed -e '/# set: listen$/s/address: [0-9][0-9.]*/address: 0.0.0.0/' \
        -e '/# set: service$/s/address: 127[0-9.]*/address: taskwire/' \
        -e '/# set: descriptor$/s#proto_descriptor: [^ ]*#proto_descriptor: /etc/envoy/taskwire.binpb#' \
        -e '/# set: script$/s#filename: [^ }]*#filename: /etc/envoy/gateway.lua#' \
        deploy/envoy/envoy.yaml >/out/envoy.yaml \
    && sed -e 's/^#tls //' /out/envoy.yaml >/out/envoy-tls.yaml

FROM envoyproxy/envoy:v1.40.0 AS gateway
COPY --from=build /out/envoy.yaml /out/envoy-tls.yaml /out/taskwire.binpb /src/deploy/envoy/gateway.lua /etc/envoy/
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/envoy"]
CMD ["-c", "/etc/envoy/envoy.yaml", "--log-level", "warning"]

FROM scratch AS taskwire
# Other issuers' keys are fetched over HTTPS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/taskwire /taskwire
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/keys /keys
ENV TASKWIRE_LISTEN=0.0.0.0:50051 TASKWIRE_DATA_DIR=/data TASKWIRE_LOG_FORMAT=json
USER 65532:65532
VOLUME ["/data", "/keys"]
EXPOSE 50051 9464
# It speaks TLS where TASKWIRE_TLS_CERT_FILE is set.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["/taskwire", "health", "--address", "127.0.0.1:50051"]
ENTRYPOINT ["/taskwire"]
CMD ["serve"]
