/** Members of a tar as GNU tar's format has them, read apart from husk's own parser. */
interface Member {
  name: string;
  type: string;
  mode: number;
  linkname: string;
  data: Buffer;
}

export function parseTar(tar: Buffer): Member[] {
  const members: Member[] = [];
  let long: string | undefined;
  for (let at = 0; tar[at] !== 0;) {
    const field = (start: number, length: number) =>
      tar
        .subarray(at + start, at + start + length)
        .toString('utf8')
        .replace(/\0.*$/s, '');
    const size = parseInt(field(124, 12), 8);
    const type = field(156, 1);
    const data = tar.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
    if (type === 'x') {
      long = /^\d+ path=([^\n]*)\n/m.exec(data.toString('utf8'))?.[1];
      continue;
    }
    const start = at - 512 - Math.ceil(size / 512) * 512;
    const text = (from: number, length: number) =>
      tar
        .subarray(start + from, start + from + length)
        .toString('utf8')
        .replace(/\0.*$/s, '');
    const prefix = text(345, 155);
    const name = long ?? (prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`);
    members.push({ name, type, mode: parseInt(text(100, 8), 8), linkname: text(157, 100), data });
    long = undefined;
  }
  return members;
}
