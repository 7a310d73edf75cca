/**
 * What `--isolation=auto` goes by: measured once a boot, and looked at anew where a reboot is not needed to change it.
 */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { kvmVerdict, type VerdictHost } from '../../../src/vmm/boot/verdict.ts';
import type { KvmSpeed } from '../../../src/vmm/boot/probe.ts';

const FAST: KvmSpeed = { instructionsPerSecond: 3.2e9, exact: true, fit: true };
const SLOW: KvmSpeed = { instructionsPerSecond: 4e6, exact: false, fit: false };

function host(t: ExecutionContext, speed: KvmSpeed | Error): VerdictHost & { dataRoot: string; measured: number } {
  const dataRoot = mkdtempSync(join(tmpdir(), 'husk-verdict-'));
  t.teardown(() => rmSync(dataRoot, { recursive: true }));
  const [device, bootId, part] = ['kvm', 'boot_id', 'vmlinux'].map((name) => join(dataRoot, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [device, bootId, part]) writeFileSync(path, 'first');
  const made = {
    dataRoot,
    device,
    bootId,
    parts: [part],
    measured: 0,
    measure: async () => {
      made.measured++;
      if (speed instanceof Error) throw speed;
      return speed;
    },
  };
  return made;
}

test('a fast KVM is fit, and measured once a boot', async (t) => {
  const here = host(t, FAST);
  const first = await kvmVerdict(here, here);
  t.deepEqual(first, { fit: true, reason: '3200 million guest instructions a second', instructionsPerSecond: 3.2e9 });
  t.deepEqual(await kvmVerdict(here, here), first);
  t.is(here.measured, 1);
});

test('an interpreter is unfit, and that is remembered too', async (t) => {
  const here = host(t, SLOW);
  t.deepEqual(await kvmVerdict(here, here), {
    fit: false,
    reason: 'under 4 million guest instructions a second: this KVM interprets its guests',
    instructionsPerSecond: 4e6,
  });
  await kvmVerdict(here, here);
  t.is(here.measured, 1);
});

const ANEW: Record<string, (host: { dataRoot: string; device: string; bootId: string }) => void> = {
  'after a reboot': ({ bootId }) => writeFileSync(bootId, 'second'),
  'with another device': ({ device }) => {
    unlinkSync(device);
    writeFileSync(device, 'reloaded');
  },
  'when the cache is cut short': ({ dataRoot }) =>
    writeFileSync(join(dataRoot, 'cache/kvm.json'), readFileSync(join(dataRoot, 'cache/kvm.json')).subarray(0, 20)),
  'when the cache says something else': ({ dataRoot }) =>
    writeFileSync(
      join(dataRoot, 'cache/kvm.json'),
      readFileSync(join(dataRoot, 'cache/kvm.json'), 'utf8').replace(/"fit":true/, '"fit":1'),
    ),
};
for (const [when, change] of Object.entries(ANEW))
  test(`it is measured anew ${when}`, async (t) => {
    const here = host(t, FAST);
    await kvmVerdict(here, here);
    change(here);
    t.true((await kvmVerdict(here, here)).fit);
    t.is(here.measured, 2);
  });

test('what is missing is said, measured or not', async (t) => {
  const here = host(t, FAST);
  await kvmVerdict(here, here);
  unlinkSync(here.parts[0]!);
  t.regex((await kvmVerdict(here, here)).reason, /^the VM's parts are not built: .*vmlinux \(make set-up-vm vm\)$/);
  unlinkSync(here.device);
  t.deepEqual(await kvmVerdict(here, here), {
    fit: false,
    reason: `this host has no ${here.device}`,
    instructionsPerSecond: 0,
  });
});

test('a KVM that cannot be asked is unfit for its reason, and asked again', async (t) => {
  const here = host(t, new Error('cannot make a VM: another hypervisor holds the CPU'));
  t.is((await kvmVerdict(here, here)).reason, 'cannot make a VM: another hypervisor holds the CPU');
  await kvmVerdict(here, here);
  t.is(here.measured, 2);
});

test('a data root that cannot be written to changes nothing', async (t) => {
  const here = host(t, FAST);
  symlinkSync('/proc', join(here.dataRoot, 'cache'));
  t.true((await kvmVerdict(here, here)).fit);
});
