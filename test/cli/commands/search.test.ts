/** What `search` prints, with a registry that answers what a test says. */
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import type { SearchAnswer } from '../../../src/images/store/contract.ts';
import { husk } from '../fake-context.ts';

const FOUND: SearchAnswer['results'] = [
  {
    name: 'alpine',
    description: 'A minimal image based on Alpine Linux with a complete index',
    stars: 11,
    official: true,
  },
  { name: 'me/<b>', description: 'evil \u009b2J', stars: 0, official: false },
];
const engine = (answer: Partial<SearchAnswer> = {}): Partial<Engine> =>
  ({
    images: {
      search: async (): Promise<SearchAnswer> => ({
        host: 'docker.io',
        by: 'search',
        results: FOUND,
        complete: true,
        ...answer,
      }),
    },
  }) as unknown as Partial<Engine>;

const CASES: [words: string[], stdout: string][] = [
  [
    [],
    'NAME      DESCRIPTION                                     STARS     OFFICIAL\n' +
      'alpine    A minimal image based on Alpine Linux with a…   11        [OK]\n' +
      'me/<b>    evil \u009b2J                                        0         \n',
  ],
  [['-f', 'stars=1', '-f', 'is-official=true', '--format', '{{.Name}}'], 'alpine\n'],
  [['--filter', 'is-official=false', '--format', '{{.Name}}'], 'me/<b>\n'],
  [['--no-trunc', '--format', '{{.Description}}', '-f', 'stars=11'], `${FOUND[0]!.description}\n`],
  [
    ['--format', 'json', '-f', 'stars=0', '-f', 'is-official=0'],
    '{"Description":"evil \u009b2J","IsOfficial":"false","Name":"me/\\u003cb\\u003e","StarCount":"0"}\n',
  ],
];
for (const [words, stdout] of CASES)
  test(`search ${words.join(' ')}`, async (t) =>
    t.deepEqual(await husk(['search', ...words, 'x'], { engine: engine() }), {
      code: 0,
      stdout: Buffer.from(stdout).toString('utf8'),
      stderr: '',
    }));

test('what is built automatically is not known any more, as the client says', async (t) =>
  t.deepEqual(await husk(['search', '-f', 'is-automated=true', '--format', '{{.Name}}', 'x'], { engine: engine() }), {
    code: 0,
    stdout: '',
    stderr:
      'WARNING: the "is-automated" filter is deprecated, and searching for "is-automated=true" will not yield any results in future.\n',
  }));

test('a terminal gets no control characters', async (t) => {
  const { stdout } = await husk(['search', 'x'], { engine: engine(), terminal: { columns: 80, rows: 24 } });
  t.regex(stdout, /^me\/<b> +evil \uFFFD2J +0/m);
});

for (const complete of [true, false])
  test(`a catalog is called so, ${complete ? 'whole' : 'or too long'}`, async (t) =>
    t.is(
      (await husk(['search', 'h:1/x'], { engine: engine({ by: 'catalog', host: 'h:1', complete }) })).stderr,
      `husk: h:1 has no search: these are names of its catalog${complete ? '' : ', which is too long to be read to its end'}\n`,
    ));
