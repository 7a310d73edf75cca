/**
 * `--link` on the default network: what a container is told at its start of the containers that it is linked to, which
 * must run by then. Source of the texts: moby daemon/container_operations_unix.go setupLinkedContainers.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { linkHosts, linkVariables, type LinkedContainer } from '../../network/hosts-lines.ts';
import { eachPort, readPorts } from '../../notation/ports.ts';
import type { Container } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { resolve } from '../record/reconcile.ts';
import { isRunning } from '../record/supervisor-link.ts';
import type { CreateRequest } from '../request/request.ts';

/** @returns lines of /etc/hosts, and variables. @throws HuskError in Docker's words for one that does not run */
export function linkedContainers(
  context: EngineContext,
  container: Container,
  { links }: Pick<CreateRequest, 'links'>,
): { hosts: string[]; env: string[] } {
  const told = links.map(({ container: reference, alias }) => {
    const other = resolve(context, reference);
    if (!isRunning(other))
      throw new HuskError(`Cannot link to a non running container: /${other.name} AS /${container.name}/${alias}`, {
        kind: 'invalid',
        exitCode: EXIT_HUSK_FAILED,
      });
    const linked = describe(other);
    return { hosts: linkHosts(alias, linked), env: linkVariables(container.name, alias, linked) };
  });
  return { hosts: told.flatMap(({ hosts }) => hosts), env: told.flatMap(({ env }) => env) };
}

function describe({ name, config, state }: Container): LinkedContainer {
  const endpoint = state.endpoints?.find(({ network }) => network === 'bridge');
  const ports = config.exposed ?? config.options.expose;
  return {
    name,
    hostname: config.hostname,
    ...(endpoint?.ipv4 && { ipv4: endpoint.ipv4.address }),
    ...(endpoint?.ipv6 && { ipv6: endpoint.ipv6.address }),
    env: config.env,
    exposed: ports.flatMap((text) => {
      const range = readPorts(text);
      return range ? eachPort(range) : [];
    }),
  };
}

/** What the container sets itself goes before what its links say. */
export function withLinked(own: readonly string[], linked: readonly string[]): string[] {
  const names = new Set(own.map((variable) => variable.split('=', 1)[0]));
  return [...own, ...linked.filter((variable) => !names.has(variable.split('=', 1)[0]))];
}
