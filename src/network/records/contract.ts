/** What the network room offers to the engine and, through it, to the CLI and the library. Types only. */
import type { IpamConfig, IpamRequest } from '../ipam/spaces.ts';
import type { EndpointState } from '../../state/containers.ts';
import type { ProcessIdentity } from '../../state/process-identity.ts';

export type NetworkDriver = 'bridge' | 'host' | 'null';

/** JSON of the `record` column. */
export interface NetworkRecord {
  driver: NetworkDriver;
  /** of the driver, as typed: options.ts reads them */
  options: Record<string, string>;
  labels: Record<string, string>;
  /** no way out of it */
  internal: boolean;
  attachable: boolean;
  ipv4: boolean;
  ipv6: boolean;
  ipam: IpamConfig[];
}

export interface Network extends NetworkRecord {
  /** 64 hex digits */
  id: string;
  name: string;
  /** ms since the epoch */
  createdAt: number;
}

export interface CreateNetwork {
  name: string;
  /** @default bridge */
  driver?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
  internal?: boolean;
  attachable?: boolean;
  /** @default true */
  ipv4?: boolean;
  /** @default false */
  ipv6?: boolean;
  /** absent: husk chooses */
  ipam?: IpamRequest[];
}

/** What a container wants to be on a network. */
export interface EndpointRequest {
  ipv4?: string;
  ipv6?: string;
  mac?: string;
  aliases?: string[];
  /** `container:alias` */
  links?: string[];
  /** the highest one's network has the default route. @default 0 */
  gatewayPriority?: number;
  driverOptions?: Record<string, string>;
}

/** A row of `endpoints`: lives as long as the container. */
export interface WantedEndpoint {
  networkId: string;
  /** its name when the container was put on it */
  network: string;
  containerId: string;
  wanted: EndpointRequest;
}

/** The kernel's side of a network with running containers. */
export interface NetworkRuntime {
  bootId: string;
  /** of the network namespace: where to look */
  inode: number;
  /** of it too: whether what is found there is it (networkCookie); absent on a kernel that has none */
  cookie?: string;
  keeper: ProcessIdentity;
  /** of what was set up in it, and how its rules were then (attach/furnish.ts): what is otherwise is mended */
  version: number;
}

/** Values of one key are or-ed, keys are and-ed, labels are and-ed. */
export type NetworkFilters = Record<string, string[]>;

export interface Networks {
  /** @throws HuskError with Docker's texts */
  create(request: CreateNetwork): Network;
  /** by id, name or unambiguous prefix of an id, in that order */
  find(reference: string): Network | undefined;
  /** @throws HuskError not-found "network NAME not found" */
  get(reference: string): Network;
  /** by name; filters: dangling, driver, id, label, name, scope, type */
  list(filters?: NetworkFilters): Network[];
  /** @throws HuskError conflict while containers run on it, and for those that every data root has */
  remove(reference: string): void;
  /** those on which nothing runs; filters: label, label!, until. @returns names */
  prune(filters?: NetworkFilters): string[];
  /** Docker's JSON of `network inspect` */
  inspect(reference: string): object;
  /** who is on it and runs, by name */
  members(id: string): NetworkMember[];
}

export interface NetworkMember {
  containerId: string;
  name: string;
  /** absent where the network gives no addresses */
  endpoint?: EndpointState;
}
