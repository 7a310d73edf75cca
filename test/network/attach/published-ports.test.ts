/** What a container publishes, through all that happens to its networks while it runs. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:net';
import test from 'ava';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { ROOT } from '../../fixtures/user.ts';
import { people } from './people.ts';

const ready = existsSync(join(ROOT, 'dist/husk.cjs')) && missingImageTools() === undefined;
const everybody = ready ? people() : [];
test.after.always(() => everybody.forEach((person) => person[Symbol.dispose]()));

/** What a server at a port of the host's loopback says first; undefined: nobody is led there. */
function heard(port: number): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('data', (data) => (socket.destroy(), done(data.toString().trim())));
    socket.once('error', () => done(undefined));
    socket.once('close', () => done(undefined));
  });
}

for (const person of everybody)
  test.serial(
    `they come with the first way out, move to the next one, and go with the last (${person.name})`,
    async (t) => {
      const says = (...args: string[]): string => {
        const { status, stdout, stderr } = person.husk(...args);
        t.is(status, 0, `${args.join(' ')}: ${stderr}`);
        return stdout.trim();
      };
      t.is(person.run(['sh', '-c', 'cat >i.tar'], { input: readFileSync(busyboxTar()) }).status, 0);
      says('import', 'i.tar', 'box');
      says('network', 'create', '--internal', 'inside');
      says('network', 'create', 'one');
      says('network', 'create', 'two');
      says(
        'run',
        '-d',
        '--name=web',
        '--network=inside',
        '-p=127.0.0.1::7',
        'box',
        'nc',
        '-ll',
        '-p',
        '7',
        '-e',
        'hostname',
      );
      const hostname = says('exec', 'web', 'hostname');
      const port = () => Number(says('port', 'web').split(':').at(-1));
      t.is(says('port', 'web'), '');

      says('network', 'connect', 'two', 'web');
      const first = port();
      t.regex(says('port', 'web'), /^7\/tcp -> 127\.0\.0\.1:\d+$/);
      t.is(await heard(first), hostname);

      // the way out by names in their order: one is before two
      says('network', 'connect', 'one', 'web');
      t.is(port(), first);
      t.is(await heard(first), hostname);
      says('network', 'disconnect', 'one', 'web');
      t.is(await heard(first), hostname);

      says('network', 'disconnect', 'two', 'web');
      t.is(says('port', 'web'), '');
      t.is(await heard(first), undefined);
      // and whoever asks for the port has it
      says('run', '-d', '--name=other', '--network=one', `-p=127.0.0.1:${first}:7`, 'box', 'sleep', '1000');
      says('rm', '-f', 'other');

      says('network', 'connect', 'one', 'web');
      t.is(await heard(port()), hostname);
      says('rm', '-f', 'web');
      says('network', 'rm', 'inside', 'one', 'two');
    },
  );

for (const person of everybody)
  test.serial(
    `a port that is taken keeps a container off the network that would lead there (${person.name})`,
    async (t) => {
      const says = (...args: string[]): string => {
        const { status, stdout, stderr } = person.husk(...args);
        t.is(status, 0, `${args.join(' ')}: ${stderr}`);
        return stdout.trim();
      };
      says('network', 'create', '--internal', 'inside');
      says('network', 'create', 'one');
      says('run', '-d', '--name=first', '--network=one', '-p=127.0.0.1::7', 'box', 'sleep', '1000');
      const taken = says('port', 'first').split(':').at(-1)!;
      says('run', '-d', '--name=late', '--network=inside', `-p=127.0.0.1:${taken}:7`, 'box', 'sleep', '1000');
      const { status, stderr } = person.husk('network', 'connect', 'one', 'late');
      t.is(status, 1);
      t.regex(stderr, new RegExp(`Bind for 127\\.0\\.0\\.1:${taken} failed: port is already allocated`));
      t.deepEqual(JSON.parse(says('inspect', '-f', '{{json .NetworkSettings.Networks}}', 'late')).one, undefined);
      t.is(says('exec', 'late', 'sh', '-c', 'ip -o link | wc -l'), '2');
      says('rm', '-f', 'first');
      says('network', 'connect', 'one', 'late');
      t.is(says('port', 'late'), `7/tcp -> 127.0.0.1:${taken}`);
      says('rm', '-f', 'late');
      says('network', 'rm', 'inside', 'one');
    },
  );
