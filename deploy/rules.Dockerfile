# The gateway's image with nftables, for the chart's `transparent.image`: only the container that applies the rules runs it.
#
#   az acr build --registry REGISTRY --image sallyport-rules:VERSION --file deploy/rules.Dockerfile \
#     --build-arg GATEWAY_IMAGE=REGISTRY.azurecr.io/sallyport:VERSION .
ARG GATEWAY_IMAGE
FROM ${GATEWAY_IMAGE}
USER 0:0
RUN apt-get update \
 && apt-get install -y --no-install-recommends nftables \
 && rm -rf /var/lib/apt/lists/*
