import test from 'ava';
import {
  familiarReference,
  fullReference,
  idPrefix,
  nameKey,
  parseReference,
  withDefaultTag,
} from '../../../src/images/store/reference.ts';

const HEX = 'ab'.repeat(32);
const D = `sha256:${HEX}`;

const reads = test.macro({
  exec(t, text: string, full: string, familiar: string) {
    const reference = withDefaultTag(parseReference(text));
    t.is(fullReference(reference), full);
    t.is(familiarReference(reference), familiar);
    t.deepEqual(parseReference(nameKey(reference)), parseReference(nameKey(parseReference(familiar))));
  },
  title: (_title, text: string) => `reads ${text.slice(0, 60)}`,
});
const refuses = test.macro({
  exec(t, text: string, message?: string) {
    t.throws(() => parseReference(text), { message: message ?? 'invalid reference format' });
  },
  title: (_title, text: string, _message?: string) => `refuses ${JSON.stringify(text.slice(0, 60))} (${text.length})`,
});

test(reads, 'alpine', 'docker.io/library/alpine:latest', 'alpine:latest');
test(reads, 'library/alpine:3', 'docker.io/library/alpine:3', 'alpine:3');
test(reads, 'docker.io/alpine', 'docker.io/library/alpine:latest', 'alpine:latest');
test(reads, 'index.docker.io/alpine', 'docker.io/library/alpine:latest', 'alpine:latest');
test(reads, 'docker.io/library/alpine', 'docker.io/library/alpine:latest', 'alpine:latest');
test(reads, 'someone/thing', 'docker.io/someone/thing:latest', 'someone/thing:latest');
test(reads, 'a/b/c', 'docker.io/a/b/c:latest', 'a/b/c:latest');
test(reads, 'library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest');
test(reads, 'localhost/x', 'localhost/x:latest', 'localhost/x:latest');
test(reads, 'localhost:5000/x:1', 'localhost:5000/x:1', 'localhost:5000/x:1');
test(reads, '127.0.0.1:5000/debian', '127.0.0.1:5000/debian:latest', '127.0.0.1:5000/debian:latest');
test(reads, '[::1]:5000/x', '[::1]:5000/x:latest', '[::1]:5000/x:latest');
test(reads, 'UPPER/x', 'UPPER/x:latest', 'UPPER/x:latest');
test(reads, `x@${D}`, `docker.io/library/x@${D}`, `x@${D}`);
test(reads, `h.io/x:1@${D}`, `h.io/x:1@${D}`, `h.io/x:1@${D}`);
test(reads, 'a__b/c--d/e.f_g', 'docker.io/a__b/c--d/e.f_g:latest', 'a__b/c--d/e.f_g:latest');
test(reads, 'x:_A.b-C', 'docker.io/library/x:_A.b-C', 'x:_A.b-C');
test(reads, `x/${HEX}`, `docker.io/x/${HEX}:latest`, `x/${HEX}:latest`);
test(reads, 'docker.io:443/x', 'docker.io:443/x:latest', 'docker.io:443/x:latest');

test(refuses, '');
test(refuses, ':latest');
test(refuses, 'x:');
test(refuses, 'x@');
test(refuses, 'x:.a');
test(refuses, `x:${'a'.repeat(129)}`);
test(refuses, 'x:1:2');
test(refuses, '/x');
test(refuses, 'x/');
test(refuses, 'a//b');
test(refuses, '-x');
test(refuses, 'x_');
test(refuses, 'a..b');
test(refuses, 'a___b');
test(refuses, 'x y');
test(refuses, 'x\n');
test(refuses, '../x');
test(refuses, 'h.io/../x');
test(refuses, 'http://h.io/x');
test(refuses, '-h.io/x');
test(refuses, 'h.io:port/x');
test(refuses, 'x@sha256:abcd');
test(refuses, `x@md5:${HEX}`);
test(refuses, `x@sha256:${HEX.toUpperCase()}`);
test(refuses, 'é');
test(refuses, 'a/'.repeat(100_000));
test(refuses, 'Alpine', 'invalid reference format: repository name (library/Alpine) must be lowercase');
test(refuses, 'h.io/Some/Thing:1', 'invalid reference format: repository name (Some/Thing) must be lowercase');
test(refuses, HEX, `invalid repository name (${HEX}), cannot specify 64-byte hexadecimal strings`);
test(refuses, `h.io/${'a'.repeat(256)}`, 'repository name must not be more than 255 characters');

test('a digest names the image, the tag beside it does not', (t) =>
  t.is(nameKey(parseReference(`x:1@${D}`)), `docker.io/library/x@${D}`));
test('id prefixes', (t) => {
  t.is(idPrefix(D), HEX);
  t.is(idPrefix('abc'), 'abc');
  t.is(idPrefix('abg'), undefined);
  t.is(idPrefix(''), undefined);
});

test('whatever is accepted reads back as itself (random texts of the grammar’s own characters)', (t) => {
  const alphabet = [
    'a',
    'b',
    '0',
    '.',
    '-',
    '_',
    '/',
    ':',
    '@',
    'A',
    'localhost',
    'docker.io',
    'library',
    '[',
    ']',
    D,
    '5000',
  ];
  let accepted = 0;
  for (let round = 0; round < 20_000; round++) {
    const text = Array.from(
      { length: 1 + Math.floor(Math.random() * 8) },
      () => alphabet[Math.floor(Math.random() * alphabet.length)],
    ).join('');
    let reference;
    try {
      reference = parseReference(text);
    } catch {
      continue;
    }
    accepted++;
    t.deepEqual(parseReference(fullReference(reference)), reference, text);
  }
  t.true(accepted > 500, `only ${accepted} accepted`);
});
