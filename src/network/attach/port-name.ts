/** What the bridge's port of an endpoint is called: by the endpoint's id, so that it is written down nowhere. */

/** characters of the id: a name of an interface has 15 (linux/if.h IFNAMSIZ) */
const ID_CHARACTERS = 12;

export const portOf = (endpointId: string): string => `v${endpointId.slice(0, ID_CHARACTERS)}`;
