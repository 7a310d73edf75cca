/** What a command prints arrives, wherever it goes; and a command that prints nothing makes no stream of Node's. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, createReadStream, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../fixtures/temporary.ts';

const MODULE = join(import.meta.dirname, '../../../src/cli/output/standard-output.ts');

/** Runs statements that have `out`, with this as the program's stdout; stderr and exit code are what is looked at. */
function program(statements: string, stdout: number | 'pipe' | 'ignore') {
  const text = `import { StandardOutput, isTerminal } from ${JSON.stringify(MODULE)};
    const out = new StandardOutput('stdout');
    const tell = (value) => process.stderr.write(String(value));
    const { get } = Object.getOwnPropertyDescriptor(process, 'stdout');
    let isMade = false;
    Object.defineProperty(process, 'stdout', { get: () => ((isMade = true), get()) });
    ${statements}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    stdio: ['ignore', stdout, 'pipe'],
    encoding: 'utf8',
  });
}

test('a file has what is written, in order, by one stream or the other', (t) => {
  const path = join(temporaryFolder('husk-output-'), 'out');
  const fd = openSync(path, 'w');
  t.teardown(() => closeSync(fd));
  const { stderr } = program(
    `out.write('a\\n'); out.write(Buffer.from('b\\n')); const before = isMade;
    out.stream.write('c\\n'); out.write('d\\n'); tell([before, isMade, out.isTTY, out.columns]);`,
    fd,
  );
  t.deepEqual([readFileSync(path, 'utf8'), stderr], ['a\nb\nc\nd\n', 'false,true,false,']);
});

test('a pipe has all of it', (t) => {
  const { stdout } = program(`for (let i = 0; i < 1000; i++) out.write('x'.repeat(999) + '\\n');`, 'pipe');
  t.is(stdout.length, 1_000_000);
});

for (const [what, stdout] of [
  ['a pipe', 'pipe'],
  ['/dev/null', 'ignore'],
] as const)
  test(`${what} to which nothing is written costs no stream, and is no terminal`, (t) =>
    t.is(
      program(`tell([isMade, out.isTTY, isTerminal(0), isTerminal(99)])`, stdout).stderr,
      'false,false,false,false',
    ));

test('a full disk is said in one line', (t) => {
  const fd = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(fd));
  const { stderr, status } = program(`out.write('a'); out.write('b');`, fd);
  t.deepEqual([stderr, status], ['Error: write /dev/stdout: no space left on device\n', 1]);
});

test('a reader that has gone ends it without a word', (t) => {
  const { stderr, status } = spawnSync(
    'bash',
    [
      '-c',
      `"$0" --input-type=module -e "$1" | true; exit \${PIPESTATUS[0]}`,
      process.execPath,
      `import { StandardOutput } from ${JSON.stringify(MODULE)};
      const out = new StandardOutput('stdout');
      setInterval(() => out.write('x'), 1);`,
    ],
    { encoding: 'utf8' },
  );
  t.deepEqual([stderr, status], ['', 141]);
});

test('a closed terminal does not end it before it has put things in order', async (t) => {
  const folder = temporaryFolder('husk-output-');
  const [file, fifo] = [join(folder, 'program.mjs'), join(folder, 'fifo')];
  execFileSync('mkfifo', [fifo]);
  writeFileSync(
    file,
    `import { openSync, writeSync } from 'node:fs';
    import { StandardOutput } from ${JSON.stringify(MODULE)};
    const tell = openSync(${JSON.stringify(fifo)}, 'w');
    const error = new StandardOutput('stderr');
    process.on('SIGHUP', async () => {
      for (let i = 0; i < 3; i++) {
        error.write('x');
        await new Promise(setImmediate);
      }
      writeSync(tell, 'in order');
      process.exit();
    });
    setInterval(() => {}, 1000);
    error.write('x');
    writeSync(tell, 'begun, ' + error.isTTY + ', ');`,
  );
  // script(1) holds the other end of the terminal.
  const terminal = spawn('script', ['-qc', `'${process.execPath}' '${file}'`, '/dev/null'], { stdio: 'ignore' });
  let said = '';
  for await (const bytes of createReadStream(fifo, 'utf8')) {
    said += bytes;
    terminal.kill('SIGKILL');
  }
  t.is(said, 'begun, true, in order');
});
