/** A stand-in for Ryuk, testcontainers' reaper: a shell script in an image of busybox's. */

/** its image */
export const REAPER = 'stand-in/ryuk:1';
/** What testcontainers asks of Ryuk: a line that says `Started` when it listens, `ACK` for each filter. */
const RYUK = [
  'touch /tmp/lines',
  `nc -ll -p 8080 -e sh -c 'while read -r line; do echo "$line" >>/tmp/lines; echo ACK; done' &`,
  'until grep -q :1F90 /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done',
  'echo Started',
  'wait',
].join('\n');

/**
 * What `husk import` is to make of the image: the label by which testcontainers finds a reaper that runs is there, too.
 */
export const reaperChanges = (): string[] => [
  '--change',
  `CMD ${JSON.stringify(['sh', '-c', RYUK])}`,
  '--change',
  'LABEL org.testcontainers.ryuk=true',
];
