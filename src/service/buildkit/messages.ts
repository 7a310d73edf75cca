/**
 * The messages of BuildKit's API that husk speaks, as values. Field numbers are those of its definitions, in whose
 * order they stand here. Pure.
 *
 * Source: moby/buildkit api/services/control/control.proto, frontend/gateway/pb/gateway.proto, api/types/worker.proto,
 * util/apicaps/pb/caps.proto, solver/pb/ops.proto (Platform, SourceInfo, Range), google/rpc/status.proto.
 */
import type { CacheRow } from '../../images/store/contract.ts';
import { bytes, Fields, map, message, number, text, timestamp } from './wire.ts';

/** A cache or an exporter: `registry`, `moby`, … and its settings. */
export interface Typed {
  type: string;
  attributes: ReadonlyMap<string, string>;
}

/** Control/Solve */
export interface SolveRequest {
  ref: string;
  /** whether there is a graph of operations (LLB) */
  hasDefinition: boolean;
  session: string;
  frontend: string;
  attributes: ReadonlyMap<string, string>;
  cacheImports: Typed[];
  cacheExports: Typed[];
  entitlements: string[];
  hasInputs: boolean;
  hasPolicy: boolean;
  exporters: Typed[];
}

export function readSolve(buffer: Buffer): SolveRequest {
  const fields = new Fields(buffer);
  const cache = fields.message(8);
  const exporters = fields.messages(13).map(typed);
  const older = { type: fields.text(3), attributes: fields.textMap(4) };
  return {
    ref: fields.text(1),
    hasDefinition: fields.bytes(2).length > 0,
    session: fields.text(5),
    frontend: fields.text(6),
    attributes: fields.textMap(7),
    cacheImports: [...(cache?.texts(2) ?? []).map(registryCache), ...(cache?.messages(5) ?? []).map(typed)],
    cacheExports: cache?.messages(4).map(typed) ?? [],
    entitlements: fields.texts(9),
    hasInputs: fields.has(10),
    hasPolicy: fields.bytes(12).length > 0,
    exporters: exporters.length === 0 && older.type !== '' ? [older] : exporters,
  };
}

const typed = (fields: Fields): Typed => ({ type: fields.text(1), attributes: fields.textMap(2) });
const registryCache = (ref: string): Typed => ({ type: 'registry', attributes: new Map([['ref', ref]]) });

/** LLBBridge/Solve */
export interface BridgeSolveRequest {
  hasDefinition: boolean;
  frontend: string;
  attributes: ReadonlyMap<string, string>;
  cacheImports: Typed[];
  hasInputs: boolean;
}

export function readBridgeSolve(buffer: Buffer): BridgeSolveRequest {
  const fields = new Fields(buffer);
  return {
    hasDefinition: fields.bytes(1).length > 0,
    frontend: fields.text(2),
    attributes: fields.textMap(3),
    cacheImports: [...fields.texts(4).map(registryCache), ...fields.messages(12).map(typed)],
    hasInputs: fields.has(13),
  };
}

/** @param id names the result towards `Return`, which husk does not need: a build has one */
export const bridgeSolved = (id: string): Buffer => message(bytes(3, message(bytes(3, message(bytes(1, id))))));

/** LLBBridge/Return. @returns the error that the client's side ended with, as google.rpc.Status */
export function readReturn(buffer: Buffer): { code: number; text: string } | undefined {
  const status = new Fields(buffer).message(2);
  const code = status?.integer(1) ?? 0;
  return code === 0 ? undefined : { code, text: status!.text(2) };
}

export const solved = (response: ReadonlyMap<string, string>): Buffer => map(1, response);

export const readRef = (buffer: Buffer): string => new Fields(buffer).text(1);

export interface Worker {
  id: string;
  labels: Record<string, string>;
  platform: { os: string; architecture: string; variant?: string };
  version: string;
}

const buildkitVersion = (version: string): Buffer =>
  message(text(1, 'github.com/moby/buildkit'), text(2, version), text(3, 'husk'));

const worker = ({ id, labels, platform, version }: Worker): Buffer =>
  message(
    text(1, id),
    map(2, Object.entries(labels)),
    bytes(3, message(text(1, platform.architecture), text(2, platform.os), text(3, platform.variant))),
    bytes(5, buildkitVersion(version)),
  );

export const workers = (one: Worker): Buffer => bytes(1, worker(one))!;
export const info = (version: string): Buffer => bytes(1, buildkitVersion(version))!;

/** LLBBridge/Ping: what a client may ask of the bridge, and of LLB */
export function pong(capabilities: readonly string[], llb: readonly string[], one: Worker): Buffer {
  const list = (field: number, names: readonly string[]): Buffer[] =>
    names.map((name) => bytes(field, message(text(1, name), number(2, true)))!);
  return message(...list(1, capabilities), ...list(2, llb), bytes(3, worker(one)));
}

/** A row of the cache, for `du` and `prune`. */
export function usage(row: CacheRow): Buffer {
  return message(
    text(1, row.key.slice(0, 25)),
    number(4, row.size),
    timestamp(6, row.made),
    timestamp(7, row.lastUsed),
    number(8, row.uses),
    text(9, row.step),
    text(10, 'regular'),
    number(11, row.shared),
  );
}

export interface PruneRequest {
  filters: string[];
  all: boolean;
  /** ns */
  keepDuration: number;
  /** bytes; 0 is none */
  reserved: number;
  maxUsed: number;
  minFree: number;
}

export function readPrune(buffer: Buffer): PruneRequest {
  const fields = new Fields(buffer);
  return {
    filters: fields.texts(1),
    all: fields.boolean(2),
    keepDuration: fields.integer(3),
    reserved: fields.integer(4),
    maxUsed: fields.integer(5),
    minFree: fields.integer(6),
  };
}

/** Times are ms since 1970. */
export interface Vertex {
  digest: string;
  name: string;
  started?: number;
  completed?: number;
  cached?: boolean;
  error?: string;
}

export interface VertexStatus {
  id: string;
  vertex: string;
  current?: number;
  total?: number;
  at: number;
  started: number;
  completed?: number;
}

export interface VertexLog {
  vertex: string;
  at: number;
  stream: 1 | 2;
  data: Uint8Array;
}

export interface VertexWarning {
  vertex: string;
  short: string;
  detail: string;
  url: string;
  /** lines of the Dockerfile, from 1 */
  range?: { start: number; end: number };
  file?: { name: string; bytes: Uint8Array };
}

/** A message of Control/Status has any of these. */
export const vertex = ({ digest, name, started, completed, cached = false, error }: Vertex): Buffer =>
  bytes(
    1,
    message(
      text(1, digest),
      text(3, name),
      number(4, cached),
      timestamp(5, started),
      timestamp(6, completed),
      text(7, error),
    ),
  )!;

export const vertexStatus = ({ id, vertex, current = 0, total = 0, at, started, completed }: VertexStatus): Buffer =>
  bytes(
    2,
    message(
      text(1, id),
      text(2, vertex),
      number(4, current),
      number(5, total),
      timestamp(6, at),
      timestamp(7, started),
      timestamp(8, completed),
    ),
  )!;

export const vertexLog = ({ vertex, at, stream, data }: VertexLog): Buffer =>
  bytes(3, message(text(1, vertex), timestamp(2, at), number(3, stream), bytes(4, data)))!;

export const vertexWarning = ({ vertex, short, detail, url, range, file }: VertexWarning): Buffer =>
  bytes(
    4,
    message(
      text(1, vertex),
      number(2, 1),
      text(3, short),
      text(4, detail),
      text(5, url),
      file && bytes(6, sourceInfo(file)),
      range && bytes(7, rangeOf(range)),
    ),
  )!;

const sourceInfo = ({ name, bytes: data }: { name: string; bytes: Uint8Array }): Buffer =>
  message(text(1, name), bytes(2, data), text(4, 'Dockerfile'));

const rangeOf = ({ start, end }: { start: number; end: number }): Buffer =>
  message(bytes(1, number(1, start) ?? Buffer.alloc(0)), bytes(2, number(1, end) ?? Buffer.alloc(0)));
