/**
 * Instructions that change an image's config, and the words by which history tells of them: Docker's. `husk build` and
 * `--change` of commit and import both go through here. Pure but for the config that is altered.
 *
 * Source: the OCI image specification § config; Docker's history of the same instructions.
 */
import { posix } from 'node:path';
import { goQuote } from '../../../notation/quoting.ts';
import { eachPort } from '../../../notation/ports.ts';
import { parseSignal } from '../../../notation/signals.ts';
import type { ImageConfig } from '../../store/contract.ts';
import type { CommandLine, ConfigCommand, Pair } from '../dockerfile/commands.ts';
import { exposedPorts } from '../dockerfile/ports.ts';
import { nameOf } from './scope.ts';

type Execution = NonNullable<ImageConfig['config']>;
type Healthcheck = NonNullable<Execution['Healthcheck']>;

/** the words before a command in shell form, where SHELL has set no others */
const DEFAULT_SHELL = ['/bin/sh', '-c'];
/** a range of ports is a few characters that make thousands of entries */
const PORT_COST = 16;
/** nanoseconds */
const SECOND = 1e9;

/** What expands the words of the instruction that is applied. */
export interface Expander {
  word(text: string): string;
  words(text: string): string[];
  /** A variable has a value from now on. */
  set(name: string, value: string): void;
  /** Pays for entries that are written once more; each instruction makes a list of its own. */
  spend(entries: number): void;
}

/** @returns the words that are executed */
export function commandWords(config: Execution, { words, shell }: CommandLine): string[] {
  if (!shell) return words;
  return [...(config.Shell?.length ? config.Shell : DEFAULT_SHELL), words.join(' ')];
}

/**
 * Applies an instruction.
 * @param image altered; its `config` is there
 * @param expander as the variables are before the instruction
 * @param hasOwnCommand whether this stage has had a CMD: ENTRYPOINT forgets only an inherited one
 * @returns `created_by` of the history entry; undefined for ONBUILD, which has none
 * @throws HuskError `invalid`
 */
export function applyInstruction(
  image: Pick<ImageConfig, 'config' | 'author'>,
  command: ConfigCommand,
  expander: Expander,
  hasOwnCommand = false,
): string | undefined {
  const config = (image.config ??= {});
  switch (command.kind) {
    case 'env': {
      const pairs = expandPairs(command.pairs, expander);
      const env = new Map((config.Env ?? []).map((entry) => [nameOf(entry), entry]));
      for (const { name, value } of pairs) env.set(name, `${name}=${value}`);
      expander.spend(env.size);
      config.Env = [...env.values()];
      for (const { name, value } of pairs) expander.set(name, value);
      return `ENV ${pairsText(pairs)}`;
    }
    case 'label': {
      const pairs = expandPairs(command.pairs, expander);
      const labels = new Map(Object.entries(config.Labels ?? {}));
      for (const { name, value } of pairs) labels.set(name, value);
      expander.spend(labels.size);
      config.Labels = Object.fromEntries(labels);
      return `LABEL ${pairsText(pairs)}`;
    }
    case 'cmd':
      config.Cmd = commandWords(config, command.line);
      return `CMD ${quotedList(config.Cmd)}`;
    case 'entrypoint':
      config.Entrypoint = commandWords(config, command.line);
      if (!hasOwnCommand) delete config.Cmd;
      return `ENTRYPOINT ${quotedList(config.Entrypoint)}`;
    case 'shell':
      config.Shell = command.words;
      return `SHELL [${command.words.join(' ')}]`;
    case 'expose': {
      const ranges = command.words.flatMap((word) => expander.words(word).map((port) => exposedPorts(port).range));
      for (const { first, last } of ranges) expander.spend((last - first + 1) * PORT_COST);
      expander.spend(Object.keys(config.ExposedPorts ?? {}).length);
      const ports = ranges.flatMap(eachPort);
      config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) };
      return `EXPOSE map[${[...new Set(ports)]
        .toSorted()
        .map((port) => `${port}:{}`)
        .join(' ')}]`;
    }
    case 'volume': {
      const paths = command.words.map((word) => expander.word(word));
      expander.spend(paths.length + Object.keys(config.Volumes ?? {}).length);
      config.Volumes = { ...config.Volumes, ...Object.fromEntries(paths.map((path) => [path, {}])) };
      return `VOLUME [${paths.join(' ')}]`;
    }
    case 'user':
      config.User = expander.word(command.value);
      return `USER ${config.User}`;
    case 'workdir':
      config.WorkingDir = posix.resolve('/', config.WorkingDir ?? '', expander.word(command.value));
      return `WORKDIR ${config.WorkingDir}`;
    case 'stopsignal': {
      const signal = expander.word(command.value);
      parseSignal(signal);
      config.StopSignal = signal;
      return `STOPSIGNAL ${signal}`;
    }
    case 'healthcheck':
      config.Healthcheck = command.health;
      return `HEALTHCHECK ${healthText(command.health)}`;
    case 'maintainer':
      image.author = command.value;
      return `MAINTAINER ${command.value}`;
    case 'onbuild':
      expander.spend(config.OnBuild?.length ?? 0);
      config.OnBuild = [...(config.OnBuild ?? []), command.value];
      return undefined;
  }
}

function expandPairs(pairs: readonly Pair[], expander: Expander): Pair[] {
  return pairs.map(({ name, value }) => ({ name: expander.word(name), value: expander.word(value) }));
}

const pairsText = (pairs: readonly Pair[]) => pairs.map(({ name, value }) => `${name}=${value}`).join(' ');

const quotedList = (words: readonly string[]) => `[${words.map(goQuote).join(' ')}]`;

/** Prints a healthcheck as Docker's history does: Go's `%q` of a structure. */
function healthText(health: Healthcheck): string {
  const { Test = [], Interval, Timeout, StartPeriod, StartInterval, Retries = 0 } = health;
  const durations = [Interval, Timeout, StartPeriod, StartInterval].map((value) => goQuote(durationText(value ?? 0)));
  return `&{${quotedList(Test)} ${durations.join(' ')} ${goCharacter(Retries)}}`;
}

/** A number as Go's `%q` prints it: the character of that code. */
function goCharacter(code: number): string {
  if (code >= 0x20 && code < 0x7f)
    return code === 0x27 || code === 0x5c ? `'\\${String.fromCharCode(code)}'` : `'${String.fromCharCode(code)}'`;
  return `'\\x${code.toString(16).padStart(2, '0')}'`;
}

/** Prints a duration as Go does: `1h2m3.5s`, `20ms`, `0s`. */
function durationText(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  for (const [unit, size] of [
    ['ns', 1],
    ['µs', 1e3],
    ['ms', 1e6],
  ] as const)
    if (nanoseconds < size * 1000) return `${nanoseconds / size}${unit}`;
  const seconds = nanoseconds / SECOND;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${Number((seconds % 60).toFixed(9))}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
