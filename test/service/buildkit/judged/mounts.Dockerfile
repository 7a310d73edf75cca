FROM box
RUN --mount=type=cache,target=/cache,id=judged echo kept >>/cache/f; wc -l </cache/f
RUN --mount=type=bind,source=app,target=/m cat /m/page; touch /m/x 2>/dev/null || echo read only
RUN --mount=type=tmpfs,target=/t touch /t/x && echo tmpfs
RUN --network=none ls /sys/class/net
