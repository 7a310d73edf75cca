/**
 * What the cases of this folder find in scope (steps.ts): steps of a build over a busybox layer, in a data root below
 * the working folder. Runs as the user that a case is for.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { BuildRun, BuildRunResult, BuildSettings } from '../../../src/build-sandbox.ts';
import { openBuildSandbox } from '../../../src/engine/build/run/sandbox.ts';
import type { Layer } from '../../../src/images/store/contract.ts';
import { openNetworks } from '../../../src/network/records/networks.ts';
import { paths } from '../../../src/paths.ts';
import { openDatabase } from '../../../src/state/database.ts';

export const p = paths({ dataRoot: resolve('data-root') });
mkdirSync(p.dataRoot, { mode: 0o700 });
// It is new only where nothing else is.
const database = openDatabase(p.database);
const networks = openNetworks({ database, config: {}, running: () => [] });

/** Puts a layer into the store, as a pull does. */
export function addLayer(tar: Buffer): Layer {
  const hex = createHash('sha256').update(tar).digest('hex');
  const folder = join(p.layers, hex);
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  writeFileSync(join(folder, 'layer.tar'), tar);
  return { diffId: `sha256:${hex}`, tar: join(folder, 'layer.tar'), size: tar.length };
}

const TAR = ['--owner=0', '--group=0', '--numeric-owner', '--mtime=@1500000000', '--sort=name'];

export const tarOf = (folder: string): Buffer =>
  execFileSync('tar', [...TAR, '-C', folder, '-c', ...readdirSync(folder)], { maxBuffer: 1 << 28 });

function makeBase(): Layer {
  const folder = 'base';
  for (const name of ['bin', 'etc', 'tmp']) mkdirSync(join(folder, name), { recursive: true, mode: 0o755 });
  chmodSync(join(folder, 'tmp'), 0o1777);
  copyFileSync('/bin/busybox', join(folder, 'bin/busybox'));
  const applets = execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const name of applets) if (name !== 'busybox') symlinkSync('busybox', join(folder, 'bin', name));
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n');
  writeFileSync(join(folder, 'etc/group'), 'root:x:0:\nann:x:1000:\n');
  return addLayer(tarOf(folder));
}

export const base = makeBase();

export const open = (settings: BuildSettings = {}) =>
  openBuildSandbox({ paths: p, config: {}, database, networks: async () => networks }, settings);
export const box = await open();

type Operation = BuildRun['operation'];

export const operation = (argv: string[], more: Partial<Operation> = {}): Operation => ({
  argv,
  env: [],
  hidden: [],
  cwd: '/',
  user: '',
  network: 'none',
  insecure: false,
  files: [],
  ...more,
});

interface StepOptions extends Partial<Omit<BuildRun, 'operation' | 'output'>> {
  how?: Partial<Operation>;
  heard?: (text: string) => void;
}

/**
 * Runs a shell's script. Its errors go where its output goes: lines of two pipes come in any order.
 * @returns what it printed as well, without blanks at the ends
 */
export async function step(
  script: string,
  { layers = [base], how = {}, heard, ...more }: StepOptions = {},
): Promise<BuildRunResult & { all: string }> {
  let all = '';
  const output = (chunk: Buffer) => {
    all += chunk.toString();
    heard?.(all);
  };
  const result = await box.run({
    layers,
    operation: operation(['sh', '-c', `exec 2>&1; ${script}`], how),
    output,
    ...more,
  });
  return { ...result, all: all.trim() };
}

/**
 * @returns the layer that a step made
 * @throws Error where it failed, with its exit and what it printed
 */
export function layerOf({ layer, exit, all }: BuildRunResult & { all?: string }): NonNullable<BuildRunResult['layer']> {
  if (!layer) throw new Error(`the step made no layer: ${JSON.stringify(exit)} ${all ?? ''}`);
  return layer;
}

/** names of a layer's members */
export const listOf = (made: BuildRunResult): string =>
  execFileSync('tar', ['tf', layerOf(made).tar], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .join(' ');

export const failed = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error: Error) => error.message,
  );

/** The end of a case: nothing may be left. */
export async function done(): Promise<void> {
  await box.close();
  database.close();
  const left = readdirSync(p.tmp);
  if (left.length > 0) console.log('left in tmp:', left);
}
