/** Who watches what: the kernel's text of an inotify instance (proc_pid_fdinfo(5)), and what looks like it. */
import { watch } from 'node:fs';
import { tmpdir } from 'node:os';
import test from 'ava';
import { parseWatches, watchedNodes } from '../../src/guest-agent/watchers.ts';

/** st_dev of the share, and the same as the kernel prints it: minor 0x2c, and 0x12345 of major 3 */
const [DEVICE, SDEV] = [0x2c, '2c'];
const [LARGE, LARGE_SDEV] = [0x45 | (3 << 8) | (0x123 << 20), '312345'];
const line = ({ sdev = SDEV, handle = '000000000700000000000000', bytes = 'c', type = '81', kind = 'inotify' } = {}) =>
  `${kind} wd:1 ino:9e7e sdev:${sdev} mask:fc6 ignored_mask:0 ` +
  `fhandle-bytes:${bytes} fhandle-type:${type} f_handle:${handle}\n`;
const HEAD = 'pos:\t0\nflags:\t02004000\nmnt_id:\t15\nino:\t1057\n';

const CASES: [what: string, text: string, device: number, ...nodes: number[]][] = [
  ['nothing', '', DEVICE],
  ['an instance without watches', HEAD, DEVICE],
  ['one watch', HEAD + line(), DEVICE, 7],
  ['several', HEAD + line() + line({ handle: '00000000ff01000000000000' }), DEVICE, 7, 511],
  ['a node of 33 bits', line({ handle: '010000000700000000000000' }), DEVICE, 2 ** 32 + 7],
  ['another file system', line({ sdev: '2d' }), DEVICE],
  ['a device number of both halves', line({ sdev: LARGE_SDEV }), LARGE, 7],
  ['a handle of another kind', line({ type: '1', bytes: '8', handle: '7e9e0000640d1b6d' }), DEVICE],
  ['a short handle', line({ handle: '0000000007' }), DEVICE],
  ['no handle', `inotify wd:1 ino:9e7e sdev:${SDEV} mask:fc6 ignored_mask:0 \n`, DEVICE],
  ['another line that has one in it', `x ${line()}`, DEVICE],
];
for (const [what, text, device, ...nodes] of CASES)
  test(`watches of an inotify instance: ${what}`, (t) => t.deepEqual(parseWatches(text, device), nodes));

test('processes that come and go, and watches of other file systems, are passed over', (t) => {
  const watcher = watch(tmpdir(), () => {});
  t.teardown(() => watcher.close());
  t.is(watchedNodes(0xff).size, 0);
});
