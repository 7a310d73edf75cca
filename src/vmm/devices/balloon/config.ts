/** virtio memory balloon (virtio 1.2 §5.5): inflate, deflate, free page reporting. */
export const BALLOON_ID = 5;
/**
 * Queues that do not exist have no number: without a statistics and a hinting queue the reporting queue is the third,
 * as in Linux's driver and QEMU (§5.5.2 numbers it 4).
 */
export const INFLATE_QUEUE = 0;
export const REPORTING_QUEUE = 2;
export const BALLOON_QUEUE_SIZES = [32, 32, 32] as const;

/** §5.5.3: the guest takes pages back rather than kill a process. */
const F_DEFLATE_ON_OOM = 1n << 2n;
/** The guest reports pages as they become free. */
const F_PAGE_REPORTING = 1n << 5n;
export const BALLOON_FEATURES = F_DEFLATE_ON_OOM | F_PAGE_REPORTING;

/** struct virtio_balloon_config: pages the host wants, pages the driver has given */
export const NUM_PAGES = 0;
export const ACTUAL = 4;
export const BALLOON_CONFIG_SIZE = 8;

/** bytes of a balloon page, whatever the guest's page size is (§5.5.6) */
export const BALLOON_PAGE = 4096;
/** most page numbers that are read from one request; Linux sends 256 */
export const MAX_PAGES = 4096;
