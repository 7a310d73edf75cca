FROM scratch AS base
ONBUILD ARG ONB=1
ONBUILD RUN --mount=type=secret,id=of-trigger x
FROM base
ARG B=3
