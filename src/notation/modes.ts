/**
 * Parses the values of `--network --ipc --pid --uts --userns --cgroupns` into tagged values; this is the only place
 * that reads `container:NAME`. The engine decides which modes a container can have. These functions are pure.
 */
import { HuskError } from '../errors.ts';

/** a mode that joins another container's namespace */
interface JoinMode {
  kind: 'container';
  /** the other container's id, a prefix of it, or its name */
  name: string;
}
/** `default`: no mode was asked for. `named`: bridge, and networks that users have made */
export type NetworkMode = { kind: 'default' | 'host' | 'none' } | { kind: 'named'; name: string } | JoinMode;
export type IpcMode = { kind: 'private' | 'host' | 'none' | 'shareable' } | JoinMode;
export type PidMode = { kind: 'private' | 'host' } | JoinMode;
export type UtsMode = { kind: 'private' | 'host' };
/** `keep-id` is Podman's: the caller's ids have the same numbers in the container, or those given here */
export type UsernsMode = { kind: 'default' | 'private' | 'host' } | { kind: 'keep-id'; uid?: number; gid?: number };
export type CgroupnsMode = { kind: 'private' | 'host' };

const CONTAINER = 'container:';

/** @returns the name in `container:NAME`, `''` where it is missing; undefined for every other mode */
export function joinedContainer(text: string | undefined): string | undefined {
  return text?.startsWith(CONTAINER) ? text.slice(CONTAINER.length) : undefined;
}

/**
 * Parses a network mode. Stored modes are parsed too, and a list of containers must not fail, so no text is refused.
 */
export function readNetworkMode(text: string): NetworkMode {
  const name = joinedContainer(text);
  if (name !== undefined) return { kind: 'container', name };
  if (text === '' || text === 'default') return { kind: 'default' };
  return text === 'host' || text === 'none' ? { kind: text } : { kind: 'named', name: text };
}

/** @returns a mode as it is typed, for errors */
export function modeText(mode: NetworkMode | IpcMode | PidMode | UtsMode | CgroupnsMode): string {
  if (mode.kind === 'container') return CONTAINER + mode.name;
  return mode.kind === 'named' ? mode.name : mode.kind;
}

/** @returns the network as `ps` and `inspect` show it */
export function networkName(mode: NetworkMode): string {
  return mode.kind === 'default' ? 'bridge' : modeText(mode);
}

/** @throws HuskError `invalid` in Docker's words, as do the other parsers here */
export function parseNetworkMode(text: string): NetworkMode {
  joinMode(text, '--network');
  return readNetworkMode(text);
}

export function parseIpcMode(text = ''): IpcMode {
  if (text === '' || text === 'private') return { kind: 'private' };
  if (text === 'host' || text === 'none' || text === 'shareable') return { kind: text };
  return joinMode(text, '--ipc') ?? refuse(`--ipc: invalid IPC mode: ${text}`);
}

export function parsePidMode(text = ''): PidMode {
  if (text === '') return { kind: 'private' };
  return text === 'host' ? { kind: 'host' } : (joinMode(text, '--pid') ?? refuse('--pid: invalid PID mode'));
}

export function parseUtsMode(text = ''): UtsMode {
  return text === '' ? { kind: 'private' } : text === 'host' ? { kind: 'host' } : refuse('--uts: invalid UTS mode');
}

export function parseCgroupnsMode(text = ''): CgroupnsMode {
  if (text === '' || text === 'private') return { kind: 'private' };
  return text === 'host' ? { kind: 'host' } : refuse('--cgroupns: invalid CGROUP mode');
}

export function parseUsernsMode(text = ''): UsernsMode {
  if (text === '') return { kind: 'default' };
  if (text === 'private' || text === 'host') return { kind: text };
  const [mode, ids] = text.split(/:(.*)/s);
  if (mode !== 'keep-id') return refuse('--userns: invalid USER mode', 'use keep-id or private');
  return { kind: 'keep-id', ...(ids !== undefined && parseIds(ids, text)) };
}

/** limit of an id in Docker: a signed 32-bit number */
const MAX_ID = 0x7fff_ffff;

/** Parses `uid=N,gid=N`. */
function parseIds(text: string, userns: string): { uid?: number; gid?: number } {
  const ids: { uid?: number; gid?: number } = {};
  for (const option of text.split(',')) {
    const [, key, number] = /^(uid|gid)=(\d{1,10})$/.exec(option) ?? [];
    if (key === undefined || Number(number) > MAX_ID)
      throw new HuskError(`--userns ${userns}: unknown option "${option}"`, {
        kind: 'invalid',
        exitCode: 125,
        fix: 'keep-id, or keep-id:uid=N,gid=N',
      });
    ids[key as 'uid' | 'gid'] = Number(number);
  }
  return ids;
}

function joinMode(text: string, flag: string): JoinMode | undefined {
  const name = joinedContainer(text);
  if (name === '') refuse(`${flag}: invalid container format container:<name|id>`);
  return name === undefined ? undefined : { kind: 'container', name };
}

function refuse(message: string, fix?: string): never {
  throw new HuskError(message, { kind: 'invalid', fix });
}
