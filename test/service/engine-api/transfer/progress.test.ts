/** Progress as a real engine writes it: dockerd 26.1.5. */
import test from 'ava';
import type { Progress } from '../../../../src/images/store/contract.ts';
import { progressLine } from '../../../../src/service/engine-api/transfer/progress.ts';
import { judgeAs } from '../../schema.ts';

const RECORDED: [what: string, progress: Progress, line: string][] = [
  ['where from', { id: '1', status: 'Pulling from bb' }, '{"status":"Pulling from bb","id":"1"}'],
  ['of the whole', { status: 'Digest: sha256:ID' }, '{"status":"Digest: sha256:ID"}'],
  [
    'of a layer',
    { id: '82c965ed64aa', status: 'Preparing' },
    '{"status":"Preparing","progressDetail":{},"id":"82c965ed64aa"}',
  ],
  [
    'a count',
    { id: '82c965ed64aa', status: 'Pushing', current: 19968, total: 1984230 },
    '{"status":"Pushing","progressDetail":{"current":19968,"total":1984230},"progress":"[\\u003e                                                  ]  19.97kB/1.984MB","id":"82c965ed64aa"}',
  ],
  [
    'a count over the whole',
    { id: '82c965ed64aa', status: 'Pushing', current: 2129920, total: 1984230 },
    '{"status":"Pushing","progressDetail":{"current":2129920,"total":1984230},"progress":"[==================================================\\u003e]   2.13MB","id":"82c965ed64aa"}',
  ],
  [
    'half',
    { id: 'x', status: 'D', current: 50, total: 100 },
    '{"status":"D","progressDetail":{"current":50,"total":100},"progress":"[=========================>                         ]      50B/100B","id":"x"}',
  ],
  [
    'a count of an unknown whole',
    { status: 'Importing', current: 1_500_000 },
    '{"status":"Importing","progressDetail":{"current":1500000},"progress":"   1.5MB"}',
  ],
  [
    'nothing of nothing',
    { status: 'D', current: 0, total: 0 },
    '{"status":"D","progressDetail":{"current":0,"total":0},"progress":"      0B"}',
  ],
];
for (const [what, progress, line] of RECORDED)
  test(`a line: ${what}`, (t) => {
    t.is(JSON.stringify(progressLine(progress)), JSON.stringify(JSON.parse(line)));
    t.notThrows(() => judgeAs('CreateImageInfo', progressLine(progress)));
  });
