/** What a copy of a running container is to be, and what cannot be copied. Pure. */
import { HuskError } from '../../errors.ts';
import type { WantedEndpoint } from '../../network/records/contract.ts';
import type { Container, ContainerConfig } from '../contract.ts';
import { isRunning, notRunning } from '../record/supervisor-link.ts';
import { readRequest } from '../request/request.ts';

/** each has a disk and the memory that it changes */
export const MOST_COPIES = 64;
/** digits of an id that tell a copy from others, and that are a container's host name */
const DIGITS = 6;
const SHORT_ID = 12;

/** @param verb what was asked for @throws HuskError `unsupported` */
export function checkInMachine({ config, name }: Container, verb: string): void {
  if (config.isolation === 'vm') return;
  throw new HuskError(
    `cannot ${verb} container ${name}: it runs in user namespaces, where processes cannot be copied`,
    {
      kind: 'unsupported',
      fix: 'run it with --isolation=vm',
    },
  );
}

/** @throws HuskError `unsupported`, `conflict` */
export function checkForkable(container: Container, verb: 'fork' | 'checkpoint'): void {
  const { name, state } = container;
  checkInMachine(container, verb);
  if (!isRunning(container)) throw notRunning(container);
  if (state.status === 'running') return;
  throw new HuskError(`cannot ${verb} container ${name}: it is ${state.status}`, {
    kind: 'conflict',
    fix: state.status === 'paused' ? `husk unpause ${name}` : 'wait until it runs',
  });
}

/**
 * @param name what was asked for; several copies are numbered. @default `NAME-fork-` and digits of the copy's id
 * @throws HuskError `invalid`
 */
export function copyNames(original: string, ids: readonly string[], name?: string): string[] {
  if (!Number.isInteger(ids.length) || ids.length < 1 || ids.length > MOST_COPIES)
    throw new HuskError(`cannot make ${ids.length} copies at once: 1 to ${MOST_COPIES} are possible`, {
      kind: 'invalid',
    });
  if (name === undefined) return ids.map((id) => `${original}-fork-${id.slice(0, DIGITS)}`);
  return ids.length === 1 ? [name] : ids.map((_, number) => `${name}-${number + 1}`);
}

/**
 * The same limits, labels, policies and logs. What only one can have is the original's: a host name made of its id,
 * ports of the host (the copy's are free ones), addresses that were asked for.
 */
export function copiedConfig({ id: original, config }: Container, id: string): ContainerConfig {
  const { options } = config;
  const { publish } = readRequest(options);
  const copied = {
    ...options,
    name: undefined,
    publish: publish.map(({ container, hostIp }) =>
      hostIp === '' ? container : `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}::${container}`,
    ),
    ...(options.networks && {
      networks: options.networks.map(({ ipv4: _ipv4, ipv6: _ipv6, mac: _mac, ...kept }) => kept),
    }),
  };
  return {
    ...config,
    options: copied,
    forkedFrom: original,
    hostname: config.hostname === original.slice(0, SHORT_ID) ? id.slice(0, SHORT_ID) : config.hostname,
  };
}

/** Pure. */
export function copiedEndpoint({ wanted, ...on }: WantedEndpoint, containerId: string): WantedEndpoint {
  const { ipv4: _ipv4, ipv6: _ipv6, mac: _mac, ...kept } = wanted;
  return { ...on, containerId, wanted: kept };
}
