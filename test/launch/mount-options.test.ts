import test from 'ava';
import * as options from '../../src/launch/mount-options.ts';

const { parseMountOptions } = options;

/** [options, flags of mount(2), data] */
const flags: [string, number, string][] = [
  ['', 0, ''],
  ['defaults', 0, ''],
  ['ro,nosuid,nodev,noexec', 15, ''],
  ['ro,rw', 0, ''],
  ['rw,ro', options.MS_RDONLY, ''],
  ['nosuid,strictatime,mode=755,size=65536k', options.MS_NOSUID | options.MS_STRICTATIME, 'mode=755,size=65536k'],
  ['newinstance,ptmxmode=0666,mode=0620,gid=5', 0, 'newinstance,ptmxmode=0666,mode=0620,gid=5'],
  ['rbind', options.MS_BIND | options.MS_REC, ''],
  ['bind,noatime', options.MS_BIND | options.MS_NOATIME, ''],
  [
    'relatime,nodiratime,nosymfollow,lazytime',
    options.MS_RELATIME | options.MS_NODIRATIME | options.MS_NOSYMFOLLOW | options.MS_LAZYTIME,
    '',
  ],
  ['noexec,exec', 0, ''],
  [
    'sync,dirsync,mand,silent,iversion',
    options.MS_SYNCHRONOUS | options.MS_DIRSYNC | options.MS_MANDLOCK | options.MS_SILENT | options.MS_I_VERSION,
    '',
  ],
  // names of Object.prototype are no options
  ['constructor,toString', 0, 'constructor,toString'],
];
for (const [text, wanted, data] of flags)
  test(`flags of "${text}"`, (t) => {
    const parsed = parseMountOptions(text.split(','));
    t.is(parsed.flags, wanted);
    t.is(parsed.data, data);
  });

for (const [name, flag] of [
  ['private', options.MS_PRIVATE],
  ['shared', options.MS_SHARED],
  ['slave', options.MS_SLAVE],
  ['unbindable', options.MS_UNBINDABLE],
] as const) {
  test(`propagation ${name}`, (t) => t.deepEqual(parseMountOptions([name]).propagation, [flag]));
  test(`propagation r${name}`, (t) =>
    t.deepEqual(parseMountOptions([`r${name}`]).propagation, [flag | options.MS_REC]));
}

/** [options, set and clear of the mount itself, set and clear of it and all below] */
const attributes: [string, number, number, number, number][] = [
  ['ro', options.MOUNT_ATTR_RDONLY, 0, 0, 0],
  ['rw', 0, options.MOUNT_ATTR_RDONLY, 0, 0],
  ['ro,rw', 0, options.MOUNT_ATTR_RDONLY, 0, 0],
  ['rro', 0, 0, options.MOUNT_ATTR_RDONLY, 0],
  ['rnosuid,rnodev', 0, 0, options.MOUNT_ATTR_NOSUID | options.MOUNT_ATTR_NODEV, 0],
  ['rexec', 0, 0, 0, options.MOUNT_ATTR_NOEXEC],
  // the atime modes share a field, which mount_setattr(2) wants cleared as a whole
  ['noatime', options.MOUNT_ATTR_NOATIME, options.MOUNT_ATTR__ATIME, 0, 0],
  ['strictatime', options.MOUNT_ATTR_STRICTATIME, options.MOUNT_ATTR__ATIME, 0, 0],
  ['relatime', 0, options.MOUNT_ATTR__ATIME, 0, 0],
  ['rnoatime', 0, 0, options.MOUNT_ATTR_NOATIME, options.MOUNT_ATTR__ATIME],
  ['rbind,rprivate', 0, 0, 0, 0],
];
for (const [text, set, clear, recursiveSet, recursiveClear] of attributes)
  test(`attributes of "${text}"`, (t) => {
    const parsed = parseMountOptions(text.split(','));
    t.deepEqual(
      [parsed.attributes, parsed.recursive],
      [
        { set, clear },
        { set: recursiveSet, clear: recursiveClear },
      ],
    );
  });
