FROM box
COPY nothing /
