# One image for every process: the supervisor, and the simulator for trying it out.
FROM rust:1.89-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked -p tickpath-tools

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data tickpath \
    && install -d -o tickpath -g tickpath -m 0700 /data
COPY --from=build /src/target/dist/tickpath /usr/local/bin/tickpath
USER tickpath
VOLUME /data
# Healthy once a session has its status file; the supervisor restarts what ends after that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["tickpath", "status", "--dir", "/data"]
ENTRYPOINT ["tickpath"]
CMD ["run", "--dir", "/data"]
