/** virtio console (virtio 1.2 §5.3): one port, receive and transmit queue. */
export const CONSOLE_ID = 3;
export const RECEIVE_QUEUE = 0;
export const TRANSMIT_QUEUE = 1;
/** entries; kernel messages are short and many */
export const CONSOLE_QUEUE_SIZES = [64, 64] as const;
/** §5.3.4: no bit means no size, no multiport and no emergency write */
export const CONSOLE_FEATURES = 0n;
export const CONSOLE_CONFIG_SIZE = 0;
/** most bytes of one transmitted buffer that are copied at a time */
export const MAX_COPY = 64 * 1024;
/** bytes kept for a guest that does not read its console; more is dropped */
export const MAX_INPUT = 64 * 1024;
