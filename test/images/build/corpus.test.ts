/** Dockerfiles that people wrote: all parse and plan, but for those that are wrong on purpose, which are named. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parseDockerfile } from '../../../src/images/build/dockerfile/parse.ts';
import { BuildError } from '../../../src/images/build/operations.ts';
import { lintDockerfile, planBuild } from '../../../src/images/build/plan/plan.ts';
import { ROOT } from '../../fixtures/user.ts';
import { planOptions } from './plan/options.ts';

const CORPUS = join(import.meta.dirname, 'corpus');

/** What is refused, and how: inputs that are wrong on purpose, need arguments, or have what podman alone knows. */
const REFUSED: [RegExp, string[]][] = [
  [/missing a value on flag: checksum/, ['buildah/bud/add-checksum/Containerfile.bad']],
  [/missing a value on flag: chmod/, ['buildah/bud/add-chmod/Dockerfile.bad', 'buildah/bud/copy-chmod/Dockerfile.bad']],
  [/missing a value on flag: chown/, ['buildah/bud/add-chown/Dockerfile.bad', 'buildah/bud/copy-chown/Dockerfile.bad']],
  [
    /variable expansion is not supported for --from/,
    [
      'buildah/bud/arg-scope/Containerfile.copy-from-arg',
      'buildah/bud/arg-scope/Containerfile.stage-overrides-header-copy-from',
      'buildah/bud/copy-from-stage-scoped-arg/Containerfile',
      'buildah/bud/copy-from-stage-scoped-arg/Containerfile.multi-copy-arg-override',
      'buildah/bud/multi-stage-builds/Dockerfile.arg_in_copy',
    ],
  ],
  [
    /invalid name for build stage/,
    [
      'buildah/bud/base-with-arg/Containerfile',
      'buildah/bud/save-stages/Dockerfile.arg-build-stages-and-chained-build-stages',
    ],
  ],
  [
    /failed to parse stage name/,
    ['buildah/bud/base-with-arg/Containerfile2', 'buildah/bud/base-with-arg/Containerfilebad'],
  ],
  [
    /invalid field '(?:z|Z|tmpcopyup)' must be a key=value pair/,
    [
      'buildah/bud/buildkit-mount/Containerfile5',
      'buildah/bud/buildkit-mount/Dockerfile',
      'buildah/bud/buildkit-mount/Dockerfile2',
      'buildah/bud/buildkit-mount/Dockerfile3',
      'buildah/bud/buildkit-mount/Dockerfile4',
      'buildah/bud/buildkit-mount/Dockerfile6',
      'buildah/bud/buildkit-mount/Dockerfilecacheread',
      'buildah/bud/buildkit-mount/Dockerfilecachewrite',
      'buildah/bud/buildkit-mount/Dockerfilecachewritesharing',
      'buildah/bud/buildkit-mount/Dockerfilemultiplemounts',
      'buildah/bud/buildkit-mount/Dockerfiletmpfscopyup',
      'buildah/bud/verify-cleanup/Dockerfile',
    ],
  ],
  [
    /no build stage in current context/,
    ['buildah/bud/containerfile/Containerfile.in', 'buildah/bud/from-multiple-files/Dockerfile2.nofrom'],
  ],
  [
    /should not be blank/,
    [
      'buildah/bud/copy-chown/Containerfile.chown_user',
      'buildah/bud/from-with-arg/Containerfile',
      'buildah/bud/multiarch/Dockerfile.fail-multistage',
      'buildah/bud/multiarch/Dockerfile.no-run',
      'buildah/bud/with-arg/Dockerfilefromarg',
    ],
  ],
  [
    /missing a value on flag: from/,
    ['buildah/bud/copy-from/Dockerfile.bad', 'buildah/bud/copy-multistage-paths/Dockerfile.invalid_from'],
  ],
  [/circular dependency detected on stage: build/, ['buildah/bud/copy-from/Dockerfile2.bad']],
  [
    /file with no instructions/,
    [
      'buildah/bud/dockerignore3/src/cmd/main.in',
      'buildah/bud/dockerignore3/src/lib/framework.in',
      'buildah/bud/dockerignore4/src/cmd/main.in',
      'buildah/bud/dockerignore4/src/lib/framework.in',
      'buildah/conformance/testdata/dockerignore/integration3/src/cmd/main.in',
      'buildah/conformance/testdata/dockerignore/integration3/src/lib/framework.in',
    ],
  ],
  [/unsupported network mode "fake"/, ['buildah/bud/inline-network/Dockerfile3']],
  [/failed to parse platform/, ['buildah/bud/multiarch/Containerfile.reset-platform']],
  [/unknown instruction: RUNHELLO/, ['buildah/bud/preprocess/Decomposed.in']],
  [
    /RUN requires at least one argument/,
    [
      'buildah/bud/run-scenarios/Dockerfile.cmd-empty-run',
      'buildah/bud/run-scenarios/Dockerfile.entrypoint-cmd-empty-run',
      'buildah/bud/run-scenarios/Dockerfile.entrypoint-empty-run',
    ],
  ],
  [/unknown instruction: BOGUS/, ['buildah/bud/unrecognized/Dockerfile']],
  [
    /failed to process/,
    ['buildah/conformance/testdata/Dockerfile.env', 'buildah/conformance/testdata/transientmount/Dockerfile.env'],
  ],
];

function dockerfiles(folder: string): string[] {
  return readdirSync(join(CORPUS, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((name) => statSync(join(CORPUS, name)).isFile() && !/ignore/i.test(name.split('/').at(-1)!))
    .toSorted();
}

for (const name of [...dockerfiles('real'), ...dockerfiles('buildah')])
  test(`plans ${name}`, async (t) => {
    const bytes = readFileSync(join(CORPUS, name));
    const build = async () => {
      const dockerfile = parseDockerfile(bytes);
      lintDockerfile(dockerfile, planOptions());
      for (const index of dockerfile.stages.keys()) await planBuild(dockerfile, planOptions({ target: String(index) }));
      return planBuild(dockerfile, planOptions());
    };
    const message = REFUSED.find(([, names]) => names.includes(name))?.[0];
    if (message) {
      await t.throwsAsync(build, { instanceOf: BuildError, message });
      return;
    }
    const { stages, target } = await build();
    t.is(stages.at(-1)!.index, target);
  });

test('CASES.md has the 64 reports, each with tests that are there', (t) => {
  const golden = new Set(
    (JSON.parse(readFileSync(join(CORPUS, 'golden/cases.json'), 'utf8')) as { id: string }[]).map(({ id }) => id),
  );
  const rows = readFileSync(join(CORPUS, 'CASES.md'), 'utf8').matchAll(/^\| (\d+) \| [^|]+ \| ([^|]+) \|/gm);
  const numbers: number[] = [];
  for (const [, number, tests] of rows) {
    numbers.push(Number(number));
    for (const one of tests!.split('<br>')) {
      const [, ids, file, text] = /^(?:golden ((?:`\w+`(?:, )?)+)|`([^`]+)`: `([^`]+)`)$/.exec(one.trim()) ?? [];
      if (ids !== undefined) for (const id of ids.split(', ')) t.true(golden.has(id.slice(1, -1)), `${number}: ${id}`);
      else if (file === undefined || text === undefined) t.fail(`${number}: ${one} names no test`);
      else t.true(readFileSync(join(ROOT, file), 'utf8').includes(text), `${number}: ${one}`);
    }
  }
  t.deepEqual(
    numbers,
    Array.from({ length: 64 }, (_, index) => index + 1),
  );
});
