/**
 * `fork`: containers that go on from the moment in which another one is, each a container of its own.
 *
 * Who does what:
 * 1. This command checks what can be said before (plan.ts), and takes the lock of the container's saved machine
 *    (saved.ts): forks of one container come one after another.
 * 2. It asks the container's supervisor, which is the machine's monitor, for `save`. That writes memory and a copy of
 *    the disk into containers/<id>/saved, which is all that its jail lets it write to, while the container runs. Then
 *    it has the guest's agent freeze the container, finishes what it was saying to the agent, takes the vCPUs out of
 *    the guest, and writes the state and what has changed meanwhile. The container goes on. RAM and disk bound what is
 *    written; the folder is the user's alone.
 * 3. This command moves the three files to saved/<id>/, where no monitor can look or write, and looks at them there.
 *    They are the monitor's word: nobody outside of a jail parses them, and who has taken a monitor over has no more of
 *    the copies than of the container.
 * 4. For each copy it writes a record, gives it the disk, and starts a supervisor as `start` does, with networks, names
 *    and ports of its own; its jail has saved/<id> to read. That maps the memory copy-on-write, and gives the
 *    connections of the first process' stdio to streams of its own. It ends all others: execs go on without their
 *    clients, whose stdin ends and whose output nobody reads; connections to sockets of the host's are closed.
 * 5. The copy's agent is asked to `adopt`: clock, randomness, host name and husk's own files are set, connections to
 *    other hosts reset, the interfaces get their addresses. Only then is the container thawed. The record says
 *    `running`.
 * 6. saved/<id> goes: a copy keeps the memory that it has mapped. Its next life, by a restart policy, boots.
 *
 * What a kill -9 leaves. Of this command in 2: the container goes on, and `saved` in its folder lies there until the
 * next fork, `system prune`, or its removal. In 3 to 5: saved/<id>, whose lock is nobody's, and at most one copy that
 * was not started; it is `created`, and its own disk begins it anew. Of the container's supervisor: what it leaves
 * always, and a half `saved`, which is no saved machine because nobody has answered for it. Of a copy's: a container
 * that has ended.
 */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { copySparse } from '../../host/files/copy-sparse.ts';
import { NetworkRecords } from '../../network/records/records.ts';
import { savedFiles } from '../../vmm/snapshot/saved-files.ts';
import type { Container, Engine } from '../contract.ts';
import { freshState } from '../create/create.ts';
import { start } from '../life/start.ts';
import { remove } from '../life/remove.ts';
import type { EngineContext } from '../record/context.ts';
import { recordEvent } from '../record/events.ts';
import { checkName, generateId } from '../record/names.ts';
import { resolve } from '../record/reconcile.ts';
import { keepContainerCopy, makeContainerFolder } from '../record/record-copies.ts';
import { checkForkable, copiedConfig, copiedEndpoint, copyNames } from './plan.ts';
import { lockSaved, saveMachine, takeSaved } from './saved.ts';

type ForkOptions = NonNullable<Parameters<Engine['fork']>[1]>;

/** @returns ids of the copies, which run */
export async function fork(context: EngineContext, reference: string, options: ForkOptions = {}): Promise<string[]> {
  const container = resolve(context, reference);
  checkForkable(container, 'fork');
  const ids = Array.from({ length: options.count ?? 1 }, generateId);
  const names = copyNames(container.name, ids, options.name).map(checkName);
  for (const name of names) context.store.assertNameFree(name);
  using saving = await lockSaved(context.paths, container.id);
  const standstill = await saveMachine(context, container);
  const folder = takeSaved(context.paths, container.id, saving);
  for (const [number, id] of ids.entries()) {
    const copy = insertCopy(context, container, { id, name: names[number]! });
    try {
      const { disk } = savedFiles(folder);
      const own = join(context.paths.container(id), 'writable.ext4');
      if (number === ids.length - 1) renameSync(disk, own);
      else copySparse(disk, own);
      await start(context, id, { saved: folder, onWarning: options.onWarning });
    } catch (error) {
      // why it did not start is what counts; those before it run
      await remove(context, id, { force: true }).catch(() => {});
      throw error;
    }
    recordEvent(context, container, 'fork', { copy: copy.id, standstill });
    options.onCopy?.(id);
  }
  return ids;
}

/** Its record is whole before anything is put into its folder. */
function insertCopy(
  context: EngineContext,
  container: Container,
  { id, name }: { id: string; name: string },
): Container {
  const copy: Container = {
    id,
    name,
    imageId: container.imageId,
    createdAt: Date.now(),
    config: copiedConfig(container, id),
    state: freshState(),
  };
  context.store.insert(copy, () => {
    context.images.get(copy.imageId);
    const records = new NetworkRecords(context.database);
    for (const endpoint of records.wantedBy(container.id)) records.want(copiedEndpoint(endpoint, id));
    recordEvent(context, copy, 'create');
  });
  makeContainerFolder(context, id);
  keepContainerCopy(context, id);
  return copy;
}
