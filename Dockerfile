# The filter as an image, the collector, and the services of the try-out, from one build. BuildKit is needed.
#
#   docker build --target filter     .    plugin.wasm alone, for Istio and Envoy Gateway (`make image` needs no Docker)
#   docker build --target collector  .    `chaperone serve`
#   docker build --target tryout     .    what docker-compose.yml runs

ARG RUST_IMAGE=rust:1.95-slim-bookworm

FROM ${RUST_IMAGE} AS build
RUN command -v musl-gcc >/dev/null || { \
      apt-get -q update && apt-get -qy install --no-install-recommends musl-tools && rm -rf /var/lib/apt/lists/*; \
    }
RUN for target in wasm32-wasip1 "$(uname -m)-unknown-linux-musl"; do \
      [ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target"; \
    done
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/src/target \
    musl="$(uname -m)-unknown-linux-musl" \
    && cargo build --locked --release --target wasm32-wasip1 -p chaperone-filter \
    && cargo build --locked --profile dist --target "$musl" -p chaperone -p chaperone-test-harness --bin chaperone --bin tryout \
    && install -Dt /out/bin "target/$musl/dist/chaperone" "target/$musl/dist/tryout" \
    && install -m 644 target/wasm32-wasip1/release/chaperone_filter.wasm /out/plugin.wasm
# Named volumes take their owner from the folder they are mounted over.
RUN mkdir -p /out/records /out/folders && cd /out/folders \
    && mkdir gateway gateway-k3s collector kubernetes k3s agents

FROM scratch AS filter
COPY --from=build /out/plugin.wasm /plugin.wasm

FROM scratch AS collector
# For PostgreSQL over TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/records /var/lib/chaperone
COPY --from=build /out/bin/chaperone /bin/chaperone
USER 65532:65532
ENV CHAPERONE_DATABASE=/var/lib/chaperone/records.db
EXPOSE 8088
ENTRYPOINT ["/bin/chaperone"]
CMD ["serve", "--listen", "0.0.0.0:8088"]

FROM collector AS tryout
COPY --from=build --chown=65532:65532 /out/folders /tryout
COPY --from=build --chown=65532:65532 /out/records /etc/kubernetes
COPY --from=build /out/plugin.wasm /usr/share/chaperone/plugin.wasm
COPY filter-config/envoy/envoy.yaml /usr/share/chaperone/envoy.yaml
COPY --from=build /out/bin/tryout /bin/tryout
