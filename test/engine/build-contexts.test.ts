/** Contexts as people write them: what each text is taken for. */
import test from 'ava';
import { namedContext, writtenContext } from '../../src/engine/build-contexts.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;
const folder = (path: string) => ({ kind: 'folder', path });
const remote = (url: string, isGit: boolean) => ({ kind: 'remote', url, isGit });
const layout = (path: string, rest = {}) => ({ kind: 'layout', folder: path, ...rest });

for (const [text, expected] of [
  ['.', folder('.')],
  ['http', folder('http')],
  ['a.git', folder('a.git')],
  ['HTTP://a.example/b.tar', remote('HTTP://a.example/b.tar', false)],
  ['https://a.example/b.git#ref:dir', remote('https://a.example/b.git#ref:dir', true)],
  ['git@a.example:b', remote('git@a.example:b', true)],
  ['github.com/a/b', remote('https://github.com/a/b', true)],
] as const)
  test(`context: ${text}`, (t) => {
    t.deepEqual<unknown, unknown>(writtenContext(text), expected);
    t.deepEqual<unknown, unknown>(namedContext(text), expected);
  });

for (const [text, expected] of [
  ['docker-image://a:1', { kind: 'image', reference: 'a:1' }],
  ['target:a', { kind: 'stage', name: 'a' }],
  ['oci-layout://a', layout('a')],
  ['oci-layout:///a/b:1', layout('/a/b', { tag: '1' })],
  ['oci-layout://a:b/c', layout('a:b/c')],
  ['oci-layout://a:b:1', layout('a:b', { tag: '1' })],
  [`oci-layout://a@${DIGEST}`, layout('a', { digest: DIGEST })],
  [`oci-layout://a:1@${DIGEST}`, layout('a', { tag: '1', digest: DIGEST })],
  ['oci-layout://a@b', layout('a@b')],
] as const)
  test(`named context: ${text}`, (t) => t.deepEqual<unknown, unknown>(namedContext(text), expected));

for (const [text, said] of [
  ['docker-image://A', /must be lowercase/],
  ['oci-layout://', /names no folder/],
  ['oci-layout://:1', /names no folder/],
  ['oci-layout://a@sha256:0', /"sha256:0" is no sha256 digest/],
  [`oci-layout://a@sha512:${'0'.repeat(128)}`, /is no sha256 digest/],
  ['http://', /./],
] as const)
  test(`refused: ${text.slice(0, 40)}`, (t) => t.throws(() => namedContext(text), { message: said }));
