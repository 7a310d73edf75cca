/**
 * `system check`: looks for damage in everything a data root has, and with `repair` mends what can be mended. The order
 * is that of dependence: the database, then what its records name. Works without an engine, because a damaged database
 * is what keeps one from opening. Never deletes what is good; may be broken off at any moment and run again.
 */
import type { Config } from '../../config.ts';
import { checkImages } from '../../images/check.ts';
import type { Paths } from '../../paths.ts';
import { causeOf, HuskError } from '../../errors.ts';
import { openDatabase } from '../../state/database.ts';
import type { KeptIds } from '../../rootless/keep-id.ts';
import { SupervisorClient } from '../../supervisor/client.ts';
import { sweepRemoved } from '../../supervisor/life/removal.ts';
import type { Finding } from '../contract.ts';
import { checkContainers, runningSupervisors } from './containers.ts';
import { databaseProblem, rebuildDatabase } from './database.ts';
import type { Problem } from './problem.ts';
import { checkSaved } from './saved.ts';
import { checkTemplates } from './templates.ts';

export interface CheckOptions {
  paths: Paths;
  config: Config;
  repair: boolean;
  /** end running containers where the database must be rebuilt */
  stop: boolean;
}

export async function* systemCheck(options: CheckOptions): AsyncGenerator<Finding> {
  const { paths } = options;
  const problem = databaseProblem(paths);
  if (problem !== undefined) {
    const finding = { kind: 'database', name: paths.database, problem } as const;
    if (!options.repair) {
      // without its records nothing else can be judged
      yield { ...finding, fix: 'husk system check --repair' };
      return;
    }
    await endSupervisors(options);
    yield { ...finding, repaired: rebuildDatabase(paths) };
  }
  const database = openDatabase(paths.database);
  try {
    const { removeTree } = await import('../../rootless/trees.ts');
    for await (const found of checkContainers(database, paths)) yield await settle(found, options.repair);
    for await (const found of checkImages({ database, paths, removeTree, checkTrees }))
      yield await settle(found, options.repair);
    for (const found of checkTemplates(paths)) yield await settle(found, options.repair);
    for (const found of checkSaved(paths)) yield await settle(found, options.repair);
    if (options.repair) await sweepRemoved(paths);
  } finally {
    database.close();
  }
}

/** Mends, if asked to. A repair that fails is told, and stops no other. */
async function settle({ repair, ...found }: Problem, wanted: boolean): Promise<Finding> {
  if (!repair) return found;
  if (!wanted)
    return {
      ...found,
      fix: ['husk system check --repair', ...(found.fix === undefined ? [] : [found.fix])].join(', then '),
    };
  try {
    await repair.run();
    return { ...found, repaired: repair.what };
  } catch (error) {
    return { ...found, problem: `${found.problem}; the repair failed: ${causeOf(error)}` };
  }
}

/** A supervisor goes on writing into the database it has open: none may run while another takes its place. */
async function endSupervisors({ paths, stop }: CheckOptions): Promise<void> {
  const running = await runningSupervisors(paths);
  if (running.length === 0) return;
  const ids = running.map(({ id }) => id.slice(0, 12)).join(', ');
  if (!stop)
    throw new HuskError(`cannot rebuild the database while containers run: ${ids}`, {
      kind: 'conflict',
      fix: 'husk system check --repair --stop ends them first',
    });
  for (const { access } of running) {
    using client = await SupervisorClient.connect(access);
    // it may fail on its own record in the damaged database, and end all the same
    await client?.request({ type: 'stop' }).catch(() => {});
  }
  const left = await runningSupervisors(paths);
  if (left.length > 0)
    throw new HuskError(
      `cannot rebuild the database: containers still run: ${left.map(({ id }) => id.slice(0, 12)).join(', ')}`,
      { kind: 'conflict', fix: 'end their supervisors (ps -C husk-supervisor)' },
    );
}

/** Checks the trees in the user namespace, where every file of theirs can be read. */
async function checkTrees(trees: { tars: string[]; folder: string }[], kept?: KeptIds): Promise<Map<string, string>> {
  const [{ runInUserNamespace }, { idMaps }, { keepIdMaps }] = await Promise.all([
    import('../../rootless/namespace.ts'),
    import('../../rootless/idmap.ts'),
    import('../../rootless/keep-id.ts'),
  ]);
  const launched = runInUserNamespace({
    program: {
      internal: 'check-tree',
      args: trees.flatMap(({ tars, folder }) => [folder, String(tars.length), ...tars]),
    },
    reach: { kept: trees.flatMap(({ tars, folder }) => [folder, ...tars]) },
    stdout: 'pipe',
    ...(kept && { maps: keepIdMaps(idMaps(), kept) }),
  });
  let output = '';
  launched.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
  await launched.started;
  const [{ code }] = await Promise.all([
    launched.exited,
    new Promise((resolve) => launched.stdout!.once('close', resolve)),
  ]);
  if (code !== 0) throw new HuskError(`checking unpacked trees ended with exit status ${code}`, { kind: 'internal' });
  const found = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { folder: string; problem: string | null });
  return new Map(found.flatMap(({ folder, problem }) => (problem === null ? [] : [[folder, problem] as const])));
}
