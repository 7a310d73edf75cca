# VERSION which one it is
# another comment
ARG VERSION=1
ARG REGISTRY=docker.io/library
ARG UNUSED=9
ARG OTHER
ARG FULL=${REGISTRY}/alpine

# build the maker of things
FROM ${FULL}:${VERSION} AS build
# NAME whom to greet
ARG NAME=world
ARG VERSION
ARG OTHER
ARG NOT_USED
# A first
# B second of a line
ARG A=1
ARG \
    B=$NAME
ARG TARGETPLATFORM
ARG TARGETARCH=made-up
ENV FROM_ENV=$A
ARG FROM_ENV=over
RUN --mount=type=secret,id=token,required=true --mount=type=ssh --mount=type=cache,target=/c,id=C echo $NAME
RUN --mount=type=secret,id=token --mount=type=ssh,id=deploy,required=true echo $A

# tools
FROM build AS tools
ARG X=$A
ARG NAME=everybody
RUN --mount=type=secret,target=/run/secrets/zz echo $X

FROM --platform=$BUILDPLATFORM busybox
COPY --from=build /x /y
WORKDIR /

# last is the one <&>
# last and nothing else
FROM scratch AS Last
ARG L=$VERSION
COPY --from=tools /x /y
COPY a$L /z
