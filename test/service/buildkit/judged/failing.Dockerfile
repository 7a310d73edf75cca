FROM box AS one
RUN true
FROM one
RUN echo why; exit 3
