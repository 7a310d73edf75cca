/**
 * A process in user and network namespaces of its own, which stands for a container: its loopback is up, and it runs a
 * command line of the shell for each that it is told. Not a test itself.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { ExecutionContext } from 'ava';

const UNSHARE = ['unshare', '--map-root-user', '--net'] as const;
/** user namespaces for whoever runs the tests */
export const ABLE = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), 'true']).status === 0;
export const CANNOT = ABLE ? '' : ': needs unshare(1) to make namespaces here';

/** what a line's output ends with */
const END = '--';

export interface ContainerNamespace {
  pid: number;
  /** what it prints, its standard error too */
  run(line: string): Promise<string>;
}

export async function namespace(t: ExecutionContext): Promise<ContainerNamespace> {
  const script = `/usr/sbin/ip link set lo up; echo ${END}; while read -r line; do sh -c "$line" 2>&1; echo ${END}; done`;
  const child = spawn(UNSHARE[0], [...UNSHARE.slice(1), 'sh', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(async () => {
    const closed = once(child, 'close');
    child.stdin.end();
    await closed;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async (): Promise<string> => {
    let text = '';
    for (let line; !(line = await lines.next()).done && line.value !== END;) text += `${line.value}\n`;
    return text;
  };
  await said();
  return {
    pid: child.pid!,
    run: (line) => {
      child.stdin.write(`${line}\n`);
      return said();
    },
  };
}
