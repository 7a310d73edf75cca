#pragma once

/* /dev/vda: an EROFS of 512-byte blocks with a file `hello`; /dev/vdb: an ext4 that may be written */
void features(void);

/* Never returns: keeps timers, /dev/vdb and a stream to the host's port 53 busy, and answers on port 1024. */
void snapshot(void);
