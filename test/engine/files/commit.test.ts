/** Settings that a commit asks for over those of its container. */
import test from 'ava';
import { mergeSettings } from '../../../src/engine/files/commit.ts';

type Settings = Parameters<typeof mergeSettings>[0];

const OWN: Settings = {
  User: 'own',
  Env: ['A=own', 'B=own'],
  Labels: { a: 'own', b: 'own' },
  Entrypoint: ['/own'],
  Cmd: ['own'],
  ExposedPorts: { '80/tcp': {} },
  Volumes: { '/own': {} },
  Shell: ['/own', '-c'],
  Healthcheck: { Test: ['CMD', 'own'], Retries: 5 },
};

const CASES: [what: string, asked: Settings, changed: Settings][] = [
  ['nothing', {}, {}],
  ['one value', { User: 'asked' }, { User: 'asked' }],
  ['variables by name', { Env: ['B=asked', 'C=asked'] }, { Env: ['B=asked', 'C=asked', 'A=own'] }],
  ['labels by name', { Labels: { b: 'asked' } }, { Labels: { a: 'own', b: 'asked' } }],
  ['ports', { ExposedPorts: { '90/udp': {} } }, { ExposedPorts: { '80/tcp': {}, '90/udp': {} } }],
  ['volumes', { Volumes: { '/asked': {} } }, { Volumes: { '/own': {}, '/asked': {} } }],
  ['a command', { Cmd: ['asked'] }, { Cmd: ['asked'] }],
  ['an entrypoint takes the command away', { Entrypoint: ['/asked'] }, { Entrypoint: ['/asked'], Cmd: undefined }],
  ['an empty entrypoint keeps it', { Entrypoint: [] }, { Entrypoint: [] }],
  ['an empty word does not', { Entrypoint: [''] }, { Entrypoint: [''], Cmd: undefined }],
  ['both', { Entrypoint: ['/asked'], Cmd: ['asked'] }, { Entrypoint: ['/asked'], Cmd: ['asked'] }],
  ['a shell and triggers', { Shell: ['sh'], OnBuild: ['RUN x'] }, { Shell: ['sh'], OnBuild: ['RUN x'] }],
];
for (const [what, asked, changed] of CASES)
  test(`commit with ${what}`, (t) => {
    const defined = (settings: object): object => JSON.parse(JSON.stringify(settings)) as object;
    t.deepEqual(defined(mergeSettings(asked, OWN)), defined({ ...OWN, ...changed }));
  });

test('commit with a health check of which some is asked for', (t) =>
  t.like(mergeSettings({ Healthcheck: { Retries: 2 } }, OWN).Healthcheck, { Test: ['CMD', 'own'], Retries: 2 }));
