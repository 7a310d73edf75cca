/**
 * What a Dockerfile wants of the client that sends it: secrets, agents, and names of its context. It is asked for these
 * before the build begins, so what stands in a variable is not found. Pure.
 */
import { posix } from 'node:path';
import type { Dockerfile } from '../../images/build/dockerfile/parse.ts';
import { imageKey } from '../../images/build/plan/graph.ts';
import { readMount, type WrittenMount } from '../../images/build/dockerfile/mounts.ts';

/** limits of what is asked for */
const MAX_SECRETS = 1000;
const MAX_AGENTS = 100;
const MAX_PATHS = 1000;

export interface Needs {
  secrets: string[];
  agents: string[];
  /** names and patterns below the context, without a leading slash; undefined: all, [] nothing */
  paths: string[] | undefined;
  /** as `paths`, of what COPY and mounts read `from`, by imageKey; a name that is not here may be read whole */
  named: ReadonlyMap<string, string[] | undefined>;
  /** what FROM names, as written */
  bases: string[];
}

/** @param target name of a stage or its number: no file is asked for that only other stages read. @default the last */
export function needsOf({ stages }: Pick<Dockerfile, 'stages'>, target?: string): Needs {
  const secrets = new Set<string>();
  const agents = new Set<string>();
  const paths = new Set<string>();
  const named = new Map<string, Set<string>>();
  const read = readStages(stages, target);
  const names = new Set(stages.flatMap(({ from }) => from.stage ?? []));
  const pathsIn = (from: string | undefined): Set<string> => {
    if (from === undefined || from === '') return paths;
    const key = imageKey(from);
    const found = named.get(key) ?? new Set();
    named.set(key, found);
    return found;
  };
  // A stage that is built on a context by name, or that one stands over, has all of its files.
  for (const { from } of read) for (const name of [from.base, from.stage]) if (name) pathsIn(name).add('.');
  for (const command of read.flatMap(({ commands }) => commands))
    if (command.kind === 'copy')
      for (const source of command.sources) if (typeof source === 'string') pathsIn(command.from).add(source);
  // A base's triggers may read any stage, so that secrets are those of all.
  for (const stage of stages)
    for (const mount of mountsOf(stage)) {
      if (mount.type === 'secret') secrets.add(mount.source || mount.id || mount.target.split('/').at(-1)!);
      else if (mount.type === 'ssh') agents.add(mount.id || mount.source || 'default');
      else if (read.includes(stage) && (mount.from !== '' || mount.type === 'bind'))
        pathsIn(mount.from).add(mount.source || '.');
    }
  return {
    secrets: [...secrets].filter(Boolean).slice(0, MAX_SECRETS),
    agents: [...agents].slice(0, MAX_AGENTS),
    paths: pathsOf([...paths].filter((path) => !/^(?:https?:\/\/|git@|git:\/\/|ssh:\/\/)/.test(path))),
    named: new Map([...named].map(([name, files]) => [name, pathsOf([...files])])),
    bases: stages.map(({ from }) => from.base).filter((base) => base !== 'scratch' && !names.has(base.toLowerCase())),
  };
}

type Stage = Dockerfile['stages'][number];

/** The stage that is built and those it reads, also by way of others; all where one of their names is a variable. */
function readStages(stages: readonly Stage[], target: string | undefined): readonly Stage[] {
  const named = (name: string): number => {
    const at = stages.findLastIndex(({ from }) => from.stage?.toLowerCase() === name.toLowerCase());
    return at === -1 && /^\d{1,4}$/.test(name) ? Number(name) : at;
  };
  const first = target === undefined ? stages.at(-1) : stages[named(target)];
  if (!first) return stages;
  const found = new Set([first]);
  for (const stage of found) {
    const copied = stage.commands.flatMap((command) => (command.kind === 'copy' ? (command.from ?? []) : []));
    const names = [stage.from.base, ...copied, ...mountsOf(stage).map(({ from }) => from)];
    if (names.some((name) => name.includes('$'))) return stages;
    for (const name of names) {
      const other = stages[named(name)];
      if (other) found.add(other);
    }
  }
  return [...found];
}

/** Those of its own commands: a trigger runs in another build, whose context is another. */
const mountsOf = ({ commands }: Stage): WrittenMount[] =>
  commands.flatMap((command) => (command.kind === 'run' ? command.mounts.flatMap(mountOf) : []));

/** A mount that cannot be read is refused by the build itself, with its line. */
function mountOf(text: string): WrittenMount[] {
  try {
    return [readMount(text, (word) => word)];
  } catch {
    return [];
  }
}

function pathsOf(written: readonly string[]): string[] | undefined {
  const clean = written.map((path) => path.replace(/^(?:\.?\/+)+/, '').replace(/\/+$/, ''));
  const isAll = (path: string): boolean => path === '' || path === '.' || /[$\\]|(?:^|\/)\.\.?(?:\/|$)/.test(path);
  return clean.length > MAX_PATHS || clean.some(isAll) ? undefined : clean;
}

/** @returns the patterns of an ignore file, as clients match them */
export const ignorePatterns = (bytes: Uint8Array): string[] =>
  Buffer.from(bytes)
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .split('\n')
    .flatMap((line) => {
      const text = line.trim();
      if (text === '' || line.startsWith('#')) return [];
      const [, mark = '', rest = ''] = /^(!?)\s*(.*)$/.exec(text)!;
      const path = posix.normalize(rest).replace(/^\/+|\/+$/g, '');
      return [mark + (path || '.')];
    });
