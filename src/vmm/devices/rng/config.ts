/** virtio entropy device (virtio 1.2 §5.4): one queue, no features, no configuration space. */
export const RNG_ID = 4;
export const REQUEST_QUEUE = 0;
/** Linux has one request in flight. */
export const RNG_QUEUE_SIZES = [8] as const;
/**
 * Attack: overlapping descriptors ask for gigabytes of randomness out of a few bytes of RAM. This is the most bytes for
 * one request; Linux asks for 64.
 */
export const MAX_ENTROPY_BYTES = 64 * 1024;
