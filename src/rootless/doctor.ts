/**
 * `husk doctor`: every fact about this host that decides what husk can do on it, each with what to change. Facts only;
 * the CLI makes the table. `fail` is what containers cannot do without, `warn` what some of them will miss.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { release, userInfo } from 'node:os';
import { join } from 'node:path';
import { findDelegation } from '../container/cgroup/delegation.ts';
import { readOptional } from '../host/files/read-optional.ts';
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import { checkRuntimeFolder } from '../runtime-folder.ts';
import { findProgram } from './programs.ts';
import {
  atLeast,
  fileSystem,
  isFolder,
  probeDevice,
  probeFuseOverlay,
  probeMapper,
  probeNamespace,
  probeOverlay,
  probeRanges,
  probeSwitches,
  type Probe,
} from './probe.ts';

export interface Fact {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  value: string;
  fix?: string;
}

/** bytes: an image and its unpacked layers */
const LOW_SPACE = 2 * 1024 ** 3;

/** @param choosePlace a path in the data root's tmp/, named so that it is swept when this process is killed */
export async function doctor(
  paths: Pick<Paths, 'dataRoot' | 'runtimeDir'>,
  choosePlace: () => string,
): Promise<Fact[]> {
  const uid = process.getuid!();
  const facts: Fact[] = [];
  const add = (name: string, probe: Probe, otherwise: 'warn' | 'fail') =>
    facts.push({
      name,
      status: probe.ok ? 'ok' : otherwise,
      value: probe.value,
      ...(probe.ok || !probe.fix ? {} : { fix: probe.fix }),
    });

  add(
    'user',
    {
      ok: true,
      value: uid === 0 ? 'root (containers run as unprivileged ids all the same)' : `${name(uid)} (uid ${uid})`,
    },
    'fail',
  );
  add('node', { ok: true, value: process.version }, 'fail');
  add('kernel', kernel(release()), 'fail');
  add('user namespaces', probeSwitches(uid), 'fail');
  if (uid !== 0) for (const kind of ['uid', 'gid'] as const) add(`new${kind}map`, probeMapper(kind), 'fail');
  add('subordinate ids', probeRanges(), 'fail');
  const namespace = await probeNamespace();
  add('namespace trial', namespace, 'fail');

  add('data root', dataRoot(paths.dataRoot), 'fail');
  const overlay: Probe = namespace.ok
    ? await probeOverlay(choosePlace)
    : { ok: false, value: 'not tried: it needs the namespace' };
  const fuse = probeFuseOverlay();
  add('overlayfs', overlay, fuse.ok ? 'warn' : 'fail');
  add('fuse-overlayfs', overlay.ok && !fuse.ok ? { ok: true, value: `${fuse.value}; not needed` } : fuse, 'warn');

  add('seccomp', seccomp(), 'fail');
  facts.push(limitsFact());
  add('pasta', pasta(), 'warn');
  add('/dev/net/tun', tun(), 'warn');
  add('/dev/kvm', kvm(), 'warn');
  add('runtime folder', runtimeFolder(paths.runtimeDir), 'fail');
  if (uid !== 0) add('linger', linger(uid), 'warn');
  return facts;
}

export function kernel(text: string): Probe {
  if (atLeast(text, 5, 12)) return { ok: true, value: text };
  return {
    ok: false,
    value: `${text}: husk needs mount_setattr(2) of Linux 5.12`,
    fix: 'use a newer kernel (Debian 12 has 6.1)',
  };
}

function name(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    return String(uid);
  }
}

function dataRoot(folder: string): Probe {
  const { name: type, suitable, freeBytes } = fileSystem(folder);
  const value = `${folder} (${type}, ${(freeBytes / 1024 ** 3).toFixed(1)} GiB free)`;
  if (!suitable)
    return { ok: false, value, fix: 'a local disk: HUSK_DATA_ROOT=/some/folder, or "data-root" in the config' };
  if (freeBytes < LOW_SPACE)
    return { ok: false, value, fix: 'husk system prune, or another data root (HUSK_DATA_ROOT)' };
  return { ok: true, value };
}

/** Only its owner may enter it: what lies there is believed. */
function runtimeFolder(folder: string): Probe {
  try {
    checkRuntimeFolder(folder);
    return { ok: true, value: folder };
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    return { ok: false, value: error.message, fix: error.fix };
  }
}

function seccomp(): Probe {
  const actions = readOptional('/proc/sys/kernel/seccomp/actions_avail')?.trim();
  return actions === undefined
    ? { ok: false, value: 'the kernel has none', fix: 'use a kernel with CONFIG_SECCOMP_FILTER' }
    : { ok: true, value: actions };
}

/** the controllers Docker's limits need */
const CONTROLLERS = ['cpu', 'cpuset', 'io', 'memory', 'pids'];

/** Which limits this host can enforce, and why not the others. */
export function limitsFact(): Fact {
  const delegation = findDelegation({ runtimeDir: process.env['XDG_RUNTIME_DIR'] });
  if (delegation.kind === 'none')
    return {
      name: 'cgroup v2',
      status: 'warn',
      value: `${delegation.reason}: no limits, no pause`,
      fix: delegation.fix,
    };
  const missing = CONTROLLERS.filter((controller) => !delegation.controllers.includes(controller));
  const how = delegation.kind === 'systemd' ? 'by your systemd session' : delegation.path;
  const value = `${how}: ${delegation.controllers.join(' ') || 'no controllers'}`;
  if (missing.length === 0) return { name: 'cgroup v2', status: 'ok', value };
  return {
    name: 'cgroup v2',
    status: 'warn',
    value: `${value} (not ${missing.join(', ')})`,
    fix: 'sudo systemctl edit user@.service: [Service] Delegate=cpu cpuset io memory pids',
  };
}

function pasta(): Probe {
  const program = findProgram('pasta', `${process.env['PATH'] ?? ''}:/usr/bin`);
  return program === undefined
    ? { ok: false, value: 'not installed: containers reach one another, and nothing beyond', fix: 'apt install passt' }
    : { ok: true, value: program };
}

function tun(): Probe {
  const probe = probeDevice('/dev/net/tun');
  return probe.ok || probe.fix ? probe : { ...probe, fix: 'sudo modprobe tun' };
}

/** Only whether it opens; how fast it is, and what it can do, the VMM finds out. */
function kvm(): Probe {
  try {
    closeSync(openSync('/dev/kvm', constants.O_RDWR));
    return { ok: true, value: 'opens' };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      return {
        ok: false,
        value: 'none: containers run in user namespaces',
        fix: 'turn virtualization on in the firmware; sudo modprobe kvm_intel (or kvm_amd)',
      };
    if (code === 'EACCES' || code === 'EPERM')
      return {
        ok: false,
        value: 'permission denied: containers run in user namespaces',
        fix: `sudo usermod -aG kvm ${name(process.getuid!())}, then log in again`,
      };
    return { ok: false, value: `${code}: containers run in user namespaces` };
  }
}

/** Without it systemd ends a person's processes, containers too, at the last log-out. */
function linger(uid: number): Probe {
  if (!isFolder('/run/systemd/system'))
    return { ok: true, value: 'no systemd: nothing ends your containers at log-out' };
  if (isFolder(join('/run/user', String(uid))) && readOptional(`/var/lib/systemd/linger/${name(uid)}`) !== undefined)
    return { ok: true, value: 'on' };
  return {
    ok: false,
    value: 'off: containers end at your last log-out',
    fix: `sudo loginctl enable-linger ${name(uid)}`,
  };
}
