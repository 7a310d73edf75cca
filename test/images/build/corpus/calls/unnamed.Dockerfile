# escape=`

# base with an äöü
FROM scratch AS base
ARG A
ARG HTTP_PROXY
FROM base
ARG B="two words"
ARG B=3
COPY --from=base / /
RUN --mount=type=bind,from=base,target=/m --mount=type=secret,id=s <<X
 cat /run/secrets/s
X
