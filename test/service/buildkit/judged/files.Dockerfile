FROM scratch
COPY app/page /page
COPY --chmod=750 app/sub /d/
