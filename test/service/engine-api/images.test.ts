/** Images over the API: every JSON answer is held against the schema, and what it says against the store. */
import test, { type ExecutionContext } from 'ava';
import { createOptions } from '../../engine/fixture.ts';
import { judged } from '../judged.ts';
import { openImageApi, smallTar, type ImageApi } from './open-api.ts';

interface Row {
  Id: string;
  RepoTags: string[];
  RepoDigests: string[];
  Labels: Record<string, string> | null;
  SharedSize: number;
  Size: number;
  VirtualSize?: number;
  Containers: number;
}

/** Three images: a:1 with a label, b:1 and b:2 are one, and one without a name; the last was made last. */
async function withImages(t: ExecutionContext): Promise<ImageApi & { ids: string[] }> {
  const api = await openImageApi(t);
  const ids: string[] = [];
  for (const [repo, content, change] of [
    ['a:1', 'a', 'LABEL k=v'],
    ['example.com/b:1', 'b', 'ENV A=b'],
    [undefined, 'c', 'CMD ["sh"]'],
  ] as const) {
    const query = new URLSearchParams({ fromSrc: '-', changes: change, message: content, ...(repo && { repo }) });
    const reply = await judged(api.server, 'POST', `/v1.51/images/create?${query}`, {
      body: smallTar(content),
      lines: 'CreateImageInfo',
    });
    ids.push((reply.lines.at(-1) as { status: string }).status);
  }
  const tagged = await judged(api.server, 'POST', '/v1.51/images/example.com/b:1/tag?repo=example.com/b&tag=2');
  t.is(tagged.status, 201);
  return { ...api, ids };
}

async function rows(api: ImageApi, query = '', version = '1.51'): Promise<Row[]> {
  const reply = await judged(api.server, 'GET', `/v${version}/images/json${query}`);
  return reply.json as Row[];
}

const filters = (value: object): string => `?filters=${encodeURIComponent(JSON.stringify(value))}`;

test('a list has every image once, with the names it has', async (t) => {
  const api = await withImages(t);
  const found = await rows(api);
  t.deepEqual(found.map(({ Id }) => Id).sort(), [...api.ids].sort());
  const [a, b, none] = api.ids.map((id) => found.find(({ Id }) => Id === id)!);
  t.deepEqual([a!.RepoTags, a!.Labels, a!.SharedSize, a!.Containers], [['a:1'], { k: 'v' }, -1, 0]);
  t.deepEqual([...b!.RepoTags].sort(), ['example.com/b:1', 'example.com/b:2']);
  t.deepEqual([none!.RepoTags, none!.RepoDigests, none!.Labels], [[], [], null]);
});

const FILTERS: [what: string, query: string, names: string[]][] = [
  ['dangling', filters({ dangling: { true: true } }), ['none']],
  ['not dangling', filters({ dangling: ['false'] }), ['a', 'b']],
  ['a label', filters({ label: { k: true } }), ['a']],
  ['a label with its value', filters({ label: { 'k=v': true } }), ['a']],
  ['a label that none has', filters({ label: { 'k=w': true } }), []],
  ['a reference', filters({ reference: { 'example.com/*': true } }), ['b']],
  ['before', filters({ before: { 'a:1': true } }), []],
  ['since', filters({ since: { 'a:1': true } }), ['b', 'none']],
  ['until, long ago', filters({ until: { '24h': true } }), []],
];
test('filters of a list', async (t) => {
  const api = await withImages(t);
  const names = new Map(api.ids.map((id, index) => [id, ['a', 'b', 'none'][index]!]));
  for (const [what, query, expected] of FILTERS)
    t.deepEqual((await rows(api, query)).map(({ Id }) => names.get(Id)!).sort(), expected, what);
});

test('a list by a reference shows the name that matched, also by the parameter of old', async (t) => {
  const api = await withImages(t);
  const only = [['example.com/b:2']];
  t.deepEqual(
    (await rows(api, filters({ reference: ['*/b:2'] }))).map(({ RepoTags }) => RepoTags),
    only,
  );
  t.deepEqual(
    (await rows(api, '?filter=example.com/b:2', '1.40')).map(({ RepoTags }) => RepoTags),
    only,
  );
  t.is((await rows(api, '?filter=example.com/b:2', '1.41')).length, 3);
});

test('what an older client is told otherwise', async (t) => {
  const api = await withImages(t);
  const nameless = async (version: string): Promise<Row> =>
    (await rows(api, filters({ dangling: ['1'] }), version))[0]!;
  const [old, middle, today] = [await nameless('1.42'), await nameless('1.43'), await nameless('1.51')];
  t.deepEqual([old.RepoTags, old.RepoDigests, old.VirtualSize], [['<none>:<none>'], ['<none>@<none>'], old.Size]);
  t.deepEqual([middle.RepoTags, middle.VirtualSize, middle.Containers], [[], middle.Size, -1]);
  t.deepEqual([today.VirtualSize, today.Containers], [undefined, 0]);
  const inspected = async (version: string): Promise<unknown> =>
    ((await judged(api.server, 'GET', `/v${version}/images/a:1/json`)).json as Row).VirtualSize;
  t.is(typeof (await inspected('1.43')), 'number');
  t.is(await inspected('1.44'), undefined);
});

test('sizes of shared layers where they are asked for', async (t) => {
  const api = await openImageApi(t);
  for (const change of ['ENV A=1', 'ENV A=2'])
    await judged(
      api.server,
      'POST',
      `/images/create?fromSrc=-&repo=x:${change.at(-1)}&changes=${encodeURIComponent(change)}`,
      {
        body: smallTar('the same'),
        lines: 'CreateImageInfo',
      },
    );
  for (const { SharedSize, Size } of await rows(api, '?shared-size=1')) t.is(SharedSize, Size);
});

test('inspect and history', async (t) => {
  const api = await withImages(t);
  const image = (await judged(api.server, 'GET', '/v1.51/images/example.com/b:1/json')).json as {
    Id: string;
    Comment: string;
    Config: { Env: string[] | null };
  };
  t.deepEqual([image.Id, image.Comment, image.Config.Env], [api.ids[1], 'b', ['A=b']]);
  const short = await judged(api.server, 'GET', `/images/${api.ids[0]!.slice(7, 19)}/json`);
  t.is((short.json as Row).Id, api.ids[0]!);
  t.is((short.json as { Config: { Env: unknown } }).Config.Env, null);
  const steps = (await judged(api.server, 'GET', '/images/a:1/history')).json as object[];
  t.like(steps[0], { Id: api.ids[0]!, Tags: ['a:1'], Comment: 'a', CreatedBy: '' });
  t.is(steps.length, 1);
});

test('a platform that an image is not for is not found', async (t) => {
  const api = await withImages(t);
  const query = (platform: object): string => `?platform=${encodeURIComponent(JSON.stringify(platform))}`;
  for (const path of ['/images/a:1/json', '/images/a:1/history', '/images/a:1/get']) {
    const other = await judged(api.server, 'GET', `${path}${query({ os: 'linux', architecture: 's390x' })}`);
    t.is(other.status, 404, path);
    t.regex(other.text, /does not provide the specified platform \(linux\/s390x\)/);
    const wrong = await judged(api.server, 'GET', `${path}${query({ os: 7 })}`);
    t.is(wrong.status, 400, path);
  }
});

test('removal: a name, then the image; one that a container has cannot go', async (t) => {
  const api = await withImages(t);
  const remove = (name: string, query = ''): ReturnType<typeof judged> =>
    judged(api.server, 'DELETE', `/v1.51/images/${name}${query}`);
  t.deepEqual((await remove('example.com/b:1')).json, [{ Untagged: 'example.com/b:1' }]);
  const gone = (await remove('example.com/b:2')).json as object[];
  t.deepEqual(gone.slice(0, 2), [{ Untagged: 'example.com/b:2' }, { Deleted: api.ids[1]! }]);
  await api.engine.create(createOptions({ image: 'a:1', command: ['x'] }));
  const used = await remove('a:1');
  t.is(used.status, 409);
  t.regex(
    used.text,
    /^\{"message":"conflict: unable to remove repository reference \\"a:1\\" \(must force\) - container /,
  );
  const missing = await remove('nosuch');
  t.deepEqual([missing.status, missing.json], [404, { message: 'No such image: nosuch:latest' }]);
  t.is((await rows(api)).find(({ Id }) => Id === api.ids[0])!.Containers, 1);
});

const PRUNES: [what: string, query: string, gone: number][] = [
  ['those without a name', '', 1],
  ['by dangling=true', filters({ dangling: { true: true } }), 1],
  ['all that are unused', filters({ dangling: { false: true } }), 3],
  ['all with a label', filters({ dangling: ['0'], label: ['k=v'] }), 1],
  ['all without it', filters({ dangling: ['0'], 'label!': ['k'] }), 2],
  ['none that are young', filters({ dangling: ['0'], until: ['24h'] }), 0],
];
for (const [what, query, gone] of PRUNES)
  test(`prune: ${what}`, async (t) => {
    const api = await withImages(t);
    const { json } = await judged(api.server, 'POST', `/v1.51/images/prune${query}`);
    const { ImagesDeleted, SpaceReclaimed } = json as { ImagesDeleted: { Deleted?: string }[]; SpaceReclaimed: number };
    const deleted = ImagesDeleted.flatMap(({ Deleted }) =>
      Deleted !== undefined && api.ids.includes(Deleted) ? [1] : [],
    );
    t.deepEqual([deleted.length, (await rows(api)).length], [gone, 3 - gone]);
    t.is(SpaceReclaimed > 0, gone > 0);
  });

const WRONG: [what: string, method: string, path: string, status: number, message: RegExp][] = [
  ['a filter that is none', 'GET', `/images/json${filters({ nope: ['x'] })}`, 400, /invalid filter 'nope'/],
  ['filters that are no JSON', 'GET', '/images/json?filters=x', 400, /invalid filter/],
  [
    'a boolean that is none',
    'GET',
    `/images/json${filters({ dangling: ['x'] })}`,
    400,
    /invalid filter 'dangling=\[x\]'/,
  ],
  [
    'both of two booleans',
    'POST',
    `/images/prune${filters({ dangling: ['1', '0'] })}`,
    400,
    /invalid filter 'dangling=/,
  ],
  [
    'an image to compare with that is not there',
    'GET',
    `/images/json${filters({ since: ['no'] })}`,
    404,
    /No such image: no:latest/,
  ],
  ['an image that is not there', 'GET', '/images/a/b/c/json', 404, /^No such image: a\/b\/c:latest$/],
  ['a history of nothing', 'GET', '/images/nosuch/history', 404, /^No such image: nosuch:latest$/],
  ['a tag of nothing', 'POST', '/images/nosuch/tag?repo=x', 404, /^No such image: nosuch:latest$/],
  ['a name for a tag that is none', 'POST', '/images/nosuch/tag?repo=X', 400, /must be lowercase/],
  ['no name for a tag', 'POST', '/images/nosuch/tag', 400, /invalid reference format/],
  ['a tag with a slash', 'POST', '/images/nosuch/tag?repo=x&tag=a/b', 400, /invalid reference format/],
  ['a name of 64 hexadecimal digits', 'POST', `/images/nosuch/tag?repo=${'a'.repeat(64)}`, 400, /64-byte hexadecimal/],
  ['a name too long', 'GET', `/images/${'a'.repeat(100_000)}/json`, 404, /No such image/],
  ['a name with an end of line', 'GET', '/images/a%0Ab/json', 404, /No such image/],
  [
    'a search for too much',
    'GET',
    '/images/search?term=x&limit=101',
    400,
    /^limit 101 is outside the range of \[1, 100\]$/,
  ],
  [
    'a search by what is no filter',
    'GET',
    `/images/search?term=x&${filters({ nope: ['x'] }).slice(1)}`,
    400,
    /invalid filter/,
  ],
  ['a search for a URL', 'GET', '/images/search?term=https%3A%2F%2Fx', 400, /invalid repository name/],
];
test('what cannot be answered says why', async (t) => {
  const api = await openImageApi(t);
  for (const [what, method, path, status, message] of WRONG) {
    const reply = await judged(api.server, method, path);
    t.is(reply.status, status, `${what}: ${reply.text.slice(0, 300)}`);
    t.regex((reply.json as { message: string }).message, message, what);
  }
});
