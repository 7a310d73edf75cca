/** Asks a server of the API and holds the answer against the schema before the test sees it. */
import { ask, type Question, type Reply, type TestServer } from './fixture.ts';
import { judge, judgeAs } from './schema.ts';

/**
 * @param question.lines the definition of the schema that each line of the answer is of, where the answer is lines
 * @throws Error where the answer is not as the schema says
 */
export async function judged(
  server: Pick<TestServer, 'socket'>,
  method: string,
  path: string,
  { lines, ...question }: Question & { lines?: string } = {},
): Promise<Reply> {
  const reply = await ask(server, method, path, question);
  if (lines !== undefined && reply.status < 400) {
    for (const line of reply.lines) judgeAs(lines, line);
    return reply;
  }
  const isJson = reply.headers['content-type']?.startsWith('application/json') ?? false;
  if (isJson && reply.json === undefined) throw new Error(`${method} ${path}: no JSON: ${reply.text}`);
  judge(method, path, reply.status, isJson ? reply.json : reply.body.length === 0 ? undefined : reply.text);
  return reply;
}
