#pragma once

/* /dev/vda: an EROFS of 512-byte blocks with a file `hello`; /dev/vdb: an ext4 that may be written */
void features(void);
