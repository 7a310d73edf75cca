/** Answers of real containers, as an ordinary user has them, held against the schema of API 1.51. */
import test from 'ava';
import { busyboxTar, missingImageTools } from '../../../fixtures/images.ts';
import { HUSK, ordinaryUser, TIMEOUT } from '../../../fixtures/user.ts';
import { missingBuild } from '../../../peer/peers.ts';
import { ask, framesIn, hijack, readAll, serveAs, type Question } from '../../fixture.ts';
import { judge } from '../../schema.ts';

/**
 * Null where dockerd 26 has null and its schema does not: an empty list of changes or removals, and limits that nobody
 * asked for.
 */
function withoutNulls(answer: unknown): unknown {
  if (answer instanceof Object && 'ContainersDeleted' in answer && answer.ContainersDeleted === null) return {};
  const { HostConfig: host } = (answer ?? { HostConfig: undefined }) as { HostConfig?: Record<string, unknown> };
  if (!host || !('Binds' in host)) return answer ?? [];
  const known = ['Binds', 'MemorySwappiness', 'OomKillDisable'];
  const kept = Object.entries(host).filter(([name, value]) => value !== null || !known.includes(name));
  return { ...(answer as object), HostConfig: Object.fromEntries(kept) };
}

const missing = missingImageTools() ?? missingBuild();

(missing === undefined ? test : test.skip)(`a container's life, answer by answer ${missing ?? ''}`, async (t) => {
  t.timeout(TIMEOUT);
  using user = ordinaryUser();
  const imported = user.run(['sh', '-c', `${HUSK} import --change 'CMD ["sh"]' - box <${busyboxTar()}`]);
  t.is(imported.status, 0, imported.stderr);
  await using server = await serveAs(user);
  const get = async (method: string, path: string, expected: number, question?: Question) => {
    const reply = await ask(server, method, `/v1.51${path}`, question);
    t.is(reply.status, expected, `${method} ${path}: ${reply.text}`);
    if (reply.json !== undefined) judge(method, path, reply.status, withoutNulls(reply.json));
    return reply.json as Record<string, never> & { Id: string; StatusCode: number; ExitCode: number };
  };
  const made = await get('POST', '/containers/create?name=web', 201, {
    body: {
      Image: 'box',
      Cmd: ['sh', '-c', 'echo up; read line; echo $line; exit 5'],
      OpenStdin: true,
      StdinOnce: true,
      AttachStdin: true,
      AttachStdout: true,
      Labels: { a: 'b' },
    },
  });
  await get('POST', '/containers/create?name=web', 409, { body: { Image: 'box' } });
  await get('POST', '/containers/create', 404, { body: { Image: 'nosuch' } });
  const { stream } = await hijack(server, `/containers/${made.Id}/attach?stream=1&stdin=1&stdout=1`);
  const ended = get('POST', '/containers/web/wait?condition=next-exit', 200);
  await get('GET', '/containers/web/stats?stream=0&one-shot=1', 200);
  await get('POST', '/containers/web/start', 204);
  await get('POST', '/containers/web/start', 304);
  await get('GET', '/containers/web/json?size=1', 200);
  await get('GET', '/containers/json?all=1&size=1', 200);
  await get('GET', '/containers/web/top', 200);
  await get('GET', '/containers/web/stats?stream=0', 200);
  const exec = await get('POST', '/containers/web/exec', 201, {
    body: { Cmd: ['sh', '-c', 'echo in; exit 3'], AttachStdout: true },
  });
  const run = await hijack(server, `/v1.51/exec/${exec.Id}/start`, { body: { Detach: false } });
  t.deepEqual(framesIn(await readAll(run.stream)), [[1, 'in\n']]);
  t.is((await get('GET', `/exec/${exec.Id}/json`, 200)).ExitCode, 3);
  stream.end('a line\n');
  t.deepEqual(framesIn(await readAll(stream)), [[1, 'up\na line\n']]);
  t.is((await ended).StatusCode, 5);
  await get('GET', '/containers/web/changes', 200);
  await get('POST', '/containers/web/update', 200, { body: { RestartPolicy: { Name: 'no' } } });
  await get('POST', '/commit?container=web&repo=made', 201, { body: { Env: ['A=b'] } });
  await get('GET', '/containers/web/json', 200);
  await get('DELETE', '/containers/web', 204);
  await get('POST', '/containers/prune', 200);
});
