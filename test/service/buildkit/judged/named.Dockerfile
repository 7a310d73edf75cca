FROM box
COPY --from=extra f /f
RUN cat /f
