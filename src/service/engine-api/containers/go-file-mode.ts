/** A file's mode as Go's os.FileMode has it, which is Docker's on the wire: types are single high bits. Pure. */

/** inode(7) */
const TYPE = 0o170000;
const PERMISSIONS = 0o777;

/** st_mode's types; the bits are those of Go's io/fs package */
const TYPES: Readonly<Record<number, number>> = {
  0o040000: 2 ** 31,
  0o120000: 2 ** 27,
  0o060000: 2 ** 26,
  0o010000: 2 ** 25,
  0o140000: 2 ** 24,
  // A character device is a device and a character device.
  0o020000: 2 ** 26 + 2 ** 21,
};

const SETUID = 0o4000;
const SETGID = 0o2000;
const STICKY = 0o1000;

/** @param mode st_mode */
export function goFileMode(mode: number): number {
  return (
    (mode & PERMISSIONS) +
    (TYPES[mode & TYPE] ?? 0) +
    (mode & SETUID ? 2 ** 23 : 0) +
    (mode & SETGID ? 2 ** 22 : 0) +
    (mode & STICKY ? 2 ** 20 : 0)
  );
}
