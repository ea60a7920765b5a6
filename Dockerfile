# The gateway's image. In the repository's folder:
#
#   az acr build --registry REGISTRY --image sallyport:VERSION --build-arg REVISION="$(git rev-parse HEAD)" .
#
# The base images are official Node.js ones, by tag. To fix them by digest, for a build that can be repeated:
#
#   --build-arg BUILD_IMAGE=node@sha256:... --build-arg RUNTIME_IMAGE=node@sha256:...
#
# Both must be of one Debian release: the native relay is compiled in the first and loaded in the second.
ARG BUILD_IMAGE=node:24-bookworm
ARG RUNTIME_IMAGE=node:24-bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /app
# No package's own install script runs: nothing here needs one, and it is where a bad package would begin.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.mjs scripts/
COPY native native
COPY src src
RUN npm run build
RUN node native/build.mjs --strict
RUN npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sallyport" \
      org.opencontainers.image.description="A forward-proxy egress gateway for Azure Machine Learning subnets" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="node:24-bookworm-slim"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/native/build native/build
COPY config config
COPY CHANGELOG.md ./
# By number, so that `runAsNonRoot` can see that it is not root. Nothing in the image is writable for it.
USER 1000:1000
EXPOSE 3128 9464
# Node runs as process 1 and handles the signal itself: it drains, then exits with 0.
STOPSIGNAL SIGTERM
# For Docker; Kubernetes has probes of its own. No shell is needed for it, nor for anything else here.
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s --retries=3 \
  CMD ["node", "/app/dist/main.js", "health", "--config", "/etc/sallyport/gateway.yaml"]
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve", "--config", "/etc/sallyport/gateway.yaml"]
