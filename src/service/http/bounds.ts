/** The bounds that keep a client from taking more of the server than its share. Data only. */

/** bytes of a request's head: dockerode puts the whole body of create into the query as well */
export const MAX_HEADER = 1 << 20;
/** ms in which a request's head must come; a connection that says nothing has the same time */
export const HEADER_TIMEOUT = 60_000;
/** bytes of a JSON body */
export const MAX_JSON = 8 << 20;
/** ms in which a JSON body must come */
export const JSON_TIMEOUT = 60_000;
/** open connections of one server */
export const MAX_CONNECTIONS = 1024;
/** open hijacked connections of one container, or of one command in it */
export const MAX_HIJACKS = 64;
/** requests of one connection that wait for the answer to the first; no known client pipelines */
export const MAX_PIPELINED = 16;
/** bytes that are given to a connection at once; more waits until they have gone */
export const MAX_WRITE = 64 << 10;
/** bytes of a multiplexed frame's payload */
export const MAX_FRAME = 32 << 10;
/** bytes of an unread body that are dropped for the connection to be used again, as many as Go's server drops */
export const MAX_DROPPED = 256 << 10;
/** ms that a connection is still read after its last answer, so that closing it does not cut the answer off */
export const LINGER = 10_000;
/** ms between two looks whether the client of a hijacked connection is still there */
export const PROBE_INTERVAL = 2_000;
/** filters, and values of one filter, in a query */
export const MAX_FILTERS = 64;
export const MAX_FILTER_VALUES = 4096;
/** characters of an error's text in an answer */
export const MAX_MESSAGE = 16 << 10;
