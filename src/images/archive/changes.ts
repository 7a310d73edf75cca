/**
 * `--change`: Dockerfile instructions that alter an image's config. Each is applied to the config as the ones before it
 * have left it; words and errors are Docker's. Pure: text in, a config out.
 *
 * Source: Dockerfile reference; the instructions `docker import` and `docker commit` allow.
 */
import { posix } from 'node:path';
import { parseDuration } from '../../notation/durations.ts';
import { parseSignal } from '../../notation/signals.ts';
import { HuskError } from '../../errors.ts';
import type { ImageConfig } from '../store/contract.ts';
import { expandWord, splitWords } from './shell-words.ts';

type Execution = NonNullable<ImageConfig['config']>;
type Healthcheck = NonNullable<Execution['Healthcheck']>;

/** what Docker puts before a command in shell form */
const DEFAULT_SHELL = ['/bin/sh', '-c'];
/** Docker refuses shorter ones: container.MinimumDuration, nanoseconds */
const MINIMUM_DURATION = 1e6;
const MAX_PORT = 65535;

const invalid = (message: string) => new HuskError(message, { kind: 'invalid' });

interface Change {
  config: Execution;
  /** behind the instruction's word */
  text: string;
  /** text with quotes removed and variables of the config's Env put in */
  expand: (text: string) => string;
}

const INSTRUCTIONS: Record<string, (change: Change) => void> = {
  CMD({ config, text }) {
    config.Cmd = command(text);
  },
  ENTRYPOINT({ config, text }) {
    config.Entrypoint = command(text);
  },
  ENV({ config, text, expand }) {
    for (const [name, value] of pairs('ENV', text, expand)) setEnv(config, name, value);
  },
  LABEL({ config, text, expand }) {
    const labels = new Map(Object.entries(config.Labels ?? {}));
    for (const [name, value] of pairs('LABEL', text, expand)) labels.set(name, value);
    config.Labels = Object.fromEntries(labels);
  },
  EXPOSE({ config, text, expand }) {
    const ports = splitWords(text).flatMap((word) => exposedPorts(expand(word)));
    if (ports.length === 0) throw invalid('EXPOSE requires at least one argument');
    config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) };
  },
  ONBUILD({ config, text }) {
    const word = /^\S*/.exec(text)![0].toUpperCase();
    if (word === '') throw invalid('ONBUILD requires at least one argument');
    if (word === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
    if (word === 'MAINTAINER' || word === 'FROM') throw invalid(`${word} isn't allowed as an ONBUILD trigger`);
    config.OnBuild = [...(config.OnBuild ?? []), text];
  },
  STOPSIGNAL({ config, text, expand }) {
    const signal = expand(oneArgument('STOPSIGNAL', text));
    parseSignal(signal);
    config.StopSignal = signal;
  },
  USER({ config, text, expand }) {
    config.User = expand(oneArgument('USER', text));
  },
  VOLUME({ config, text, expand }) {
    const volumes = (jsonStrings(text) ?? splitWords(text)).map((word) => expand(word).trim());
    if (volumes.length === 0) throw invalid('VOLUME requires at least one argument');
    if (volumes.includes('')) throw invalid('VOLUME specified can not be an empty string');
    config.Volumes = { ...config.Volumes, ...Object.fromEntries(volumes.map((volume) => [volume, {}])) };
  },
  WORKDIR({ config, text, expand }) {
    const folder = expand(text);
    if (folder === '') throw invalid('WORKDIR requires exactly one argument');
    const clean = posix.resolve('/', config.WorkingDir ?? '', folder);
    config.WorkingDir = clean;
  },
  HEALTHCHECK({ config, text }) {
    config.Healthcheck = healthcheck(text);
  },
};

/**
 * @param config is altered
 * @param changes each one instruction; a backslash at a line's end goes on in the next
 * @throws HuskError `invalid` with Docker's text
 */
export function applyChanges(config: Execution, changes: string[]): void {
  for (const change of changes) for (const line of logicalLines(change)) applyLine(config, line);
}

function logicalLines(text: string): string[] {
  const kept = text.split(/\r?\n/).filter((line) => !/^\s*#/.test(line));
  return kept
    .join('\n')
    .replace(/\\[ \t]*\n/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function applyLine(config: Execution, line: string): void {
  const [, word, text] = /^(\S+)\s*(.*)$/s.exec(line)!;
  const name = word!.toUpperCase();
  const apply = Object.hasOwn(INSTRUCTIONS, name) ? INSTRUCTIONS[name]! : undefined;
  if (!apply)
    throw new HuskError(`${word} is not a valid change command`, {
      kind: 'invalid',
      fix: `use one of ${Object.keys(INSTRUCTIONS).join(' ')}`,
    });
  if (line.includes('\0')) throw invalid('a change has a NUL byte');
  // the variables an instruction sees are those of the instructions before it
  const variables = new Map(
    (config.Env ?? []).map((entry): [string, string] => [
      entry.slice(0, entry.indexOf('=')),
      entry.slice(entry.indexOf('=') + 1),
    ]),
  );
  apply({ config, text: text!, expand: (part) => expandWord(part, variables) });
}

function oneArgument(instruction: string, text: string): string {
  if (splitWords(text).length !== 1) throw invalid(`${instruction} requires exactly one argument`);
  return text;
}

/** @returns undefined when it is not a JSON array of strings: then it is the shell form, as in Docker */
function jsonStrings(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
}

function command(text: string): string[] {
  return jsonStrings(text) ?? (text === '' ? [] : [...DEFAULT_SHELL, text]);
}

/** `name=value name2="v 2"`, or the old form `name the rest of the line` */
function pairs(instruction: string, text: string, expand: (text: string) => string): [string, string][] {
  const words = splitWords(text);
  const first = words[0];
  if (first === undefined) throw invalid(`${instruction} requires at least one argument`);
  if (!first.includes('=')) {
    const value = text.slice(first.length).trimStart();
    if (value === '') throw invalid(`${instruction} must have two arguments`);
    return [[expand(first), expand(value)]];
  }
  return words.map((word) => {
    const equals = word.indexOf('=');
    if (equals === -1) throw invalid(`Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    if (equals === 0) throw invalid(`${instruction} names can not be blank`);
    return [expand(word.slice(0, equals)), expand(word.slice(equals + 1))];
  });
}

function setEnv(config: Execution, name: string, value: string): void {
  const env = [...(config.Env ?? [])];
  const at = env.findIndex((entry) => entry.startsWith(`${name}=`));
  if (at === -1) env.push(`${name}=${value}`);
  else env[at] = `${name}=${value}`;
  config.Env = env;
}

/** `80`, `53/udp`, `8000-8010/tcp` */
function exposedPorts(text: string): string[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (!match || last > MAX_PORT || last < first) throw invalid(`invalid containerPort: ${text}`);
  const protocol = (match[3] ?? 'tcp').toLowerCase();
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`);
}

function healthcheck(text: string): Healthcheck {
  const result: Healthcheck = {};
  let rest = text;
  for (let flag = /^--([a-z-]+)=(\S+)\s*/.exec(rest); flag; flag = /^--([a-z-]+)=(\S+)\s*/.exec(rest)) {
    healthFlag(result, flag[1]!, flag[2]!);
    rest = rest.slice(flag[0].length);
  }
  const [, type, argument] = /^(\S*)\s*(.*)$/s.exec(rest)!;
  switch (type!.toUpperCase()) {
    case '':
      throw invalid('Missing type in HEALTHCHECK (try HEALTHCHECK CMD)');
    case 'NONE':
      if (argument !== '') throw invalid('HEALTHCHECK NONE takes no arguments');
      return { Test: ['NONE'] };
    case 'CMD': {
      const list = jsonStrings(argument!);
      if (list ? list.length === 0 : argument === '') throw invalid('Missing command after HEALTHCHECK CMD');
      return { Test: list ? ['CMD', ...list] : ['CMD-SHELL', argument!], ...result };
    }
    default:
      throw invalid(`Unknown type "${type}" in HEALTHCHECK (try CMD)`);
  }
}

const HEALTH_DURATIONS: Record<string, 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval'> = {
  interval: 'Interval',
  timeout: 'Timeout',
  'start-period': 'StartPeriod',
  'start-interval': 'StartInterval',
};

function healthFlag(health: Healthcheck, flag: string, value: string): void {
  if (flag === 'retries') {
    if (!/^\d{1,9}$/.test(value)) throw invalid(`--retries must be at least 0 (not ${value})`);
    health.Retries = Number(value);
    return;
  }
  const key = Object.hasOwn(HEALTH_DURATIONS, flag) ? HEALTH_DURATIONS[flag] : undefined;
  if (!key) throw invalid(`unknown flag: --${flag}`);
  const duration = nanoseconds(value);
  if (duration !== 0 && duration < MINIMUM_DURATION) throw invalid(`Interval "${flag}" cannot be less than 1ms`);
  health[key] = duration;
}

function nanoseconds(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw invalid((error as Error).message);
  }
}
