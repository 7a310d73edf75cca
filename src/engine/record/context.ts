/**
 * What every operation of the engine works on. Made once a command by ../assembly/engine.ts; nothing in it is read
 * before it is needed.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Config } from '../../config.ts';
import type { Spec } from '../../spec.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';
import type { Image, Images } from '../../images/store/contract.ts';
import type { Paths } from '../../paths.ts';
import type { ContainerStore } from '../../state/containers.ts';
import type { SupervisorClient } from '../../supervisor/client.ts';
import type { Task } from '../../supervisor/protocol/protocol.ts';
import type { Networks, Network, WantedEndpoint } from '../../network/records/contract.ts';
import type { Volumes } from '../../volumes/contract.ts';
import type { Container, ContainerConfig } from '../contract.ts';
import type { CreateRequest } from '../request/request.ts';

export interface EngineContext {
  readonly paths: Paths;
  readonly config: Config;
  readonly database: DatabaseSync;
  readonly store: ContainerStore<ContainerConfig>;
  readonly images: Images;
  volumes(): Promise<Volumes>;
  networks(): Promise<Networks>;
  /** what changes the networks of a container that runs */
  readonly liveNetworks: {
    attach(container: Container, network: Network, wanted: WantedEndpoint['wanted']): Promise<void>;
    detach(container: Container, network: Network): Promise<void>;
  };
  /** the OCI spec of a container about to start */
  buildSpec(record: Container, request: CreateRequest): Promise<Spec>;
  /** the image's layer trees, topmost first, unpacked if need be */
  unpacked(image: Image, kept?: KeptIds): Promise<string[]>;
  /** bytes of the folder of a container's writable layer; a VM's is on its own disk */
  writableSize(id: string): Promise<number>;
  /** a supervisor that waits for its first request: started already, or started now */
  supervisor(): SupervisorClient;
  /** a supervisor in a jail, where it sees only what this VM container needs; the task names files as they are there */
  jailedSupervisor(task: Task): Promise<{ client: SupervisorClient; task: Task }>;
}
