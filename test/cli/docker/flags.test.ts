/**
 * The flags of each command beside those that Docker's real client lists with `--help`: every difference stands in the
 * table "Flags" of docs/differences.md with its reason, and nothing stands there that is none.
 */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { commandHelp } from '../../../src/cli/help.ts';
import { COMMANDS, spellings } from '../../../src/cli/table/table.ts';
import { dockerClient, runDocker } from '../../fixtures/docker-client.ts';

interface FlagLine {
  short: string | undefined;
  type: string;
}

const client = dockerClient();
const DOCUMENT = join(import.meta.dirname, '../../../docs/differences.md');

/** `  -a, --all type   help` of either's help */
function flagsOf(help: string): Map<string, FlagLine> {
  const options = help.slice(help.search(/^Options:$/m));
  const lines = [...options.matchAll(/^ {2}(?:-(\w), | {4})--([\w-]+)(?: ([\w-]+))?(?: {2,}|$)/gm)];
  return new Map(
    help.includes('\nOptions:\n') ? lines.map(([, short, name, type]) => [name!, { short, type: type ?? '' }]) : [],
  );
}

function differences(ours: Map<string, FlagLine>, theirs: Map<string, FlagLine>): string[] {
  const missing = [...theirs.keys()].filter((name) => !ours.has(name)).map((name) => `--${name} missing`);
  const extra = [...ours.keys()].filter((name) => !theirs.has(name)).map((name) => `--${name} extra`);
  const other = [...ours].flatMap(([name, flag]) => {
    const known = theirs.get(name);
    if (!known) return [];
    return [
      ...(known.short === flag.short ? [] : [`--${name} other letter`]),
      ...(known.type === flag.type ? [] : [`--${name} other type`]),
    ];
  });
  return [...missing, ...extra, ...other];
}

interface Documented {
  difference: string;
  /** Docker's versions that the row speaks of */
  since: number;
  until: number;
}

/**
 * Rows `| commands | flags | difference | Docker | why |`; Docker's column says from which version on, or up to which,
 * where not all differ.
 */
function documented(): Documented[] {
  const section = /^### Flags\n([^]*?)(?=^#|(?![^]))/m.exec(readFileSync(DOCUMENT, 'utf8'))?.[1] ?? '';
  return section.split('\n').flatMap((line) => {
    const [, commands, flags, difference, versions, why] = line.split('|').map((cell) => cell.trim());
    if (commands === undefined || !commands.startsWith('`')) return [];
    if (!why) throw new Error(`docs/differences.md: no reason in ${line}`);
    const words = (cell: string | undefined): string[] =>
      [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, text]) => text!);
    const [since, until] = [/^(\d+)\+$/.exec(versions!)?.[1], /^up to (\d+)$/.exec(versions!)?.[1]];
    return words(commands).flatMap((command) =>
      words(flags).map((flag) => ({
        difference: `${command} ${flag} ${difference}`,
        since: Number(since ?? 0),
        until: Number(until ?? Infinity),
      })),
    );
  });
}

if (typeof client === 'string') {
  test.skip(`flags beside Docker's client (${client})`, () => {});
} else {
  test(`flags beside those of docker ${client.major}`, async (t) => {
    const commands = COMMANDS.filter((command) => command.load && !command.hidden);
    const found: string[] = [];
    const work = [...commands];
    const worker = async (): Promise<void> => {
      for (let command = work.shift(); command; command = work.shift()) {
        const words = spellings(command).at(-1)!;
        const { code, stdout } = await runDocker(client, [...words, '--help'], { config: tmpdir() });
        // a command of husk's own has nothing beside it
        if (code !== 0 || !stdout.includes(`Usage:  docker ${words.join(' ')}`)) continue;
        found.push(
          ...differences(flagsOf(commandHelp(command, `husk ${words.join(' ')}`)), flagsOf(stdout)).map(
            (text) => `${words.join(' ')} ${text}`,
          ),
        );
      }
    };
    await Promise.all([worker(), worker(), worker()]);
    t.true(found.length > 0);
    const rows = documented().filter(({ since, until }) => client.major >= since && client.major <= until);
    const told = new Set(rows.map(({ difference }) => difference));
    t.deepEqual(found.filter((difference) => !told.has(difference)).sort(), [], 'not in docs/differences.md § Flags');
    t.deepEqual(
      [...told].filter((difference) => !found.includes(difference)).sort(),
      [],
      'in docs/differences.md § Flags, and not so (any more)',
    );
  });
}
