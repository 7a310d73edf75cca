/** `import`: the tar's bytes become the layer, --change the config; what is refused leaves nothing behind. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { HuskError } from '../../src/errors.ts';
import { applyChanges } from '../../src/images/archive/changes.ts';
import type { ImageConfig } from '../../src/images/store/contract.ts';
import { tarball } from '../fixtures/tar.ts';
import { testStore } from './store.ts';

const TAR = tarball({ name: 'etc/', type: '5', mode: 0o755 }, { name: 'etc/hostname', body: 'a\n' });
const diffId = `sha256:${createHash('sha256').update(TAR).digest('hex')}`;
const stream = (bytes: Uint8Array) => Readable.from([bytes]);

const importing = test.macro({
  async exec(t, bytes: Buffer) {
    using made = testStore();
    const image = await made.store.import(stream(bytes), {
      reference: 'husk/base',
      message: 'm',
      changes: ['CMD ["sh"]'],
    });
    t.deepEqual(image.config.rootfs, { type: 'layers', diff_ids: [diffId] });
    t.deepEqual([image.repoTags, image.repoDigests, image.size], [['husk/base:latest'], [], TAR.length]);
    t.deepEqual(image.config.config, { Cmd: ['sh'] });
    t.deepEqual(
      image.config.history?.map(({ comment }) => comment),
      ['m'],
    );
    t.deepEqual([made.fsck(), made.names('tmp')], [[], []]);
  },
  title: (name) => `imports a tar: ${name}`,
});
test('plain', importing, TAR);
test('gzip', importing, gzipSync(TAR));
test('zstd', importing, zstdCompressSync(TAR));

test('without a name, with another platform', async (t) => {
  using made = testStore();
  const image = await made.store.import(stream(TAR), {
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  });
  t.deepEqual([image.repoTags, image.config.architecture, image.config.variant], [[], 'arm64', 'v8']);
  t.is(image.config.history?.[0]?.comment, 'Imported from -');
});

test('a second import takes the name over', async (t) => {
  using made = testStore();
  const first = await made.store.import(stream(TAR), { reference: 'a' });
  const second = await made.store.import(stream(TAR), { reference: 'a', message: 'other' });
  t.deepEqual([made.store.get(first.id).repoTags, made.store.get('a').id], [[], second.id]);
  t.deepEqual(made.fsck(), []);
});

const refused = test.macro({
  async exec(t, bytes: Buffer, options: { reference?: string; changes?: string[] }, message: RegExp) {
    using made = testStore({ config: { 'max-layer-size': 1 << 20 } });
    await t.throwsAsync(made.store.import(stream(bytes), options), { instanceOf: HuskError, message });
    t.deepEqual([made.names('layers'), made.names('blobs'), made.names('tmp'), made.store.list()], [[], [], [], []]);
  },
  title: (name) => `refuses ${name}`,
});
test('what is no tar', refused, Buffer.alloc(4096, 'x'), {}, /invalid tar/);
test('a tar that is cut off', refused, TAR.subarray(0, 700), {}, /invalid tar/);
test('an empty stream', refused, Buffer.alloc(0), {}, /the archive is empty/);
test('broken gzip', refused, gzipSync(TAR).subarray(0, 60), {}, /broken gzip/);
test('a decompression bomb', refused, gzipSync(Buffer.alloc(64 << 20)), {}, /larger than 1048576 bytes/);
test('a member above the root', refused, tarball({ name: '../x', body: '' }), {}, /invalid tar/);
test('a digest as name', refused, TAR, { reference: `a@${diffId}` }, /cannot import digest reference/);
test('a name in capitals', refused, TAR, { reference: 'Base' }, /must be lowercase/);
test(
  'an instruction that changes no config',
  refused,
  TAR,
  { changes: ['RUN id'] },
  /^RUN is not a valid change command$/,
);

type Execution = NonNullable<ImageConfig['config']>;
const changing = test.macro({
  exec(t, changes: string[], expected: Execution) {
    const config: Execution = {};
    applyChanges(config, changes);
    t.deepEqual(config, expected);
  },
  title: (name, changes?: unknown) => `--change ${name || (changes as string[]).join('; ')}`,
});
test(changing, ['CMD ["a", "b"]'], { Cmd: ['a', 'b'] });
test(changing, ['cmd echo  "hi"'], { Cmd: ['/bin/sh', '-c', 'echo  "hi"'] });
test(changing, ['CMD [broken'], { Cmd: ['/bin/sh', '-c', '[broken'] });
test(changing, ['ENTRYPOINT ["/x"]', 'CMD []'], { Entrypoint: ['/x'], Cmd: [] });
test(changing, ['ENV A=1 B="two words" C=t\\ w'], { Env: ['A=1', 'B=two words', 'C=t w'] });
test(changing, ['ENV A two  words'], { Env: ['A=two  words'] });
test(changing, ['ENV A=1', 'ENV A=2 B=$A', 'ENV C=${A}-${X:-d}-${A:+s}'], { Env: ['A=2', 'B=1', 'C=2-d-s'] });
test(changing, ['ENV A=\'$B\' C="$$"'], { Env: ['A=$B', 'C=$$'] });
test('a line that goes on', changing, ['ENV A=1 \\\n  B=2'], { Env: ['A=1', 'B=2'] });
test(changing, ['EXPOSE 80 53/UDP 8000-8002'], {
  ExposedPorts: { '80/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {}, '8002/tcp': {} },
});
test(changing, ['LABEL a=b "c d"="e f"', 'LABEL a=g'], { Labels: { a: 'g', 'c d': 'e f' } });
test(changing, ['ONBUILD RUN make'], { OnBuild: ['RUN make'] });
test(changing, ['STOPSIGNAL SIGQUIT', 'USER 1:2'], { StopSignal: 'SIGQUIT', User: '1:2' });
test(changing, ['VOLUME /a /b', 'VOLUME ["/c d"]'], { Volumes: { '/a': {}, '/b': {}, '/c d': {} } });
test(changing, ['WORKDIR /a', 'WORKDIR b/../c'], { WorkingDir: '/a/c' });
test(changing, ['HEALTHCHECK --interval=1m30s --retries=3 CMD curl x'], {
  Healthcheck: { Test: ['CMD-SHELL', 'curl x'], Interval: 90e9, Retries: 3 },
});
test(changing, ['HEALTHCHECK CMD ["a"]'], { Healthcheck: { Test: ['CMD', 'a'] } });
test(changing, ['HEALTHCHECK NONE'], { Healthcheck: { Test: ['NONE'] } });
test(changing, ['# a remark', ''], {});
test(changing, ['LABEL __proto__=x'], { Labels: Object.fromEntries([['__proto__', 'x']]) });

const badChange = test.macro({
  exec(t, change: string, message: string) {
    t.throws(() => applyChanges({}, [change]), { instanceOf: HuskError, message });
  },
  title: (_, change?: unknown) => `--change refuses ${String(change)}`,
});
test(badChange, 'ENV', 'ENV requires at least one argument');
test(badChange, 'ENV A', 'ENV must have two arguments');
test(badChange, 'ENV A=1 B', `Syntax error - can't find = in "B". Must be of the form: name=value`);
test(badChange, 'ENV A="1', 'unexpected end of statement while looking for matching double-quote');
test(badChange, 'ENV A=${B', 'unsupported modifier () in substitution');
test(badChange, 'EXPOSE 70000', 'invalid containerPort: 70000');
test(badChange, 'EXPOSE 9-8', 'invalid containerPort: 9-8');
test(badChange, 'ONBUILD ONBUILD RUN x', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
test(badChange, 'ONBUILD FROM x', "FROM isn't allowed as an ONBUILD trigger");
test(badChange, 'USER a b', 'USER requires exactly one argument');
test(badChange, 'VOLUME [""]', 'VOLUME specified can not be an empty string');
test(badChange, 'WORKDIR', 'WORKDIR requires exactly one argument');
test(badChange, 'HEALTHCHECK', 'Missing type in HEALTHCHECK (try HEALTHCHECK CMD)');
test(badChange, 'HEALTHCHECK CMD', 'Missing command after HEALTHCHECK CMD');
test(badChange, 'HEALTHCHECK --interval=1us CMD x', 'Interval "interval" cannot be less than 1ms');
test(badChange, 'constructor x', 'constructor is not a valid change command');
