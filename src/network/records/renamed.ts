/**
 * A container that runs is found by its new name at once, and by the old one no more, unless it has that for another
 * reason: it is its hostname too, or an alias.
 */
import type { DatabaseSync } from 'node:sqlite';
import { ContainerStore } from '../../state/containers.ts';
import { memberNames, writeNames } from './member-names.ts';
import { NetworkRecords } from './records.ts';

/** @param container with its new name */
export function renameMember(database: DatabaseSync, container: { id: string; name: string; hostname: string }): void {
  const wanted = new NetworkRecords(database).wantedBy(container.id);
  new ContainerStore(database).change(container.id, (state) => {
    const endpoints = state.endpoints?.map((endpoint) => {
      // on a predefined network nobody is found by name
      if (endpoint.names.length === 0) return endpoint;
      const { networkId } = endpoint;
      const names = memberNames(container, wanted.find((each) => each.networkId === networkId)?.wanted ?? {});
      writeNames(database, { networkId, containerId: container.id }, names);
      return { ...endpoint, names };
    });
    return endpoints && { ...state, endpoints };
  });
}
