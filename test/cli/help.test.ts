import test from 'ava';
import { commandHelp, flagRows, rootHelp, wrap } from '../../src/cli/help.ts';
import { COMMANDS, findCommand, spellings, subcommands } from '../../src/cli/table/table.ts';
import { husk } from './fake-context.ts';

test("help of husk: Docker's sections in order, and every command in one of them", (t) => {
  const help = rootHelp();
  t.regex(
    help,
    /^Usage: {2}husk \[OPTIONS\] COMMAND\n\n\S.*\n\nCommon Commands:\n[^]+\n\nManagement Commands:\n[^]+\n\nCommands:\n[^]+\n\nGlobal Options:\n[^]+\n\nRun 'husk COMMAND --help' for more information on a command.\n$/,
  );
  for (const { name, command } of subcommands([]))
    t.is(
      help.split('\n').filter((line) => line === `  ${name.padEnd(11)} ${command.help}`).length,
      command.hidden ? 0 : 1,
      name,
    );
});

for (const words of [['container', 'ls'], ['image', 'prune'], ['exec'], ['wait']]) {
  test(`help of ${words.join(' ')}`, (t) => t.snapshot(commandHelp(findCommand(words)!, `husk ${words.join(' ')}`)));
}

for (const width of [40, 80, 200]) {
  test(`no line of help is wider than a terminal of ${width}`, (t) => {
    for (const command of COMMANDS.filter((each) => each.load)) {
      for (const line of flagRows(command.flags, width).split('\n')) t.true(line.length <= Math.max(width, 68), line);
    }
  });
}

test('every command can be found by each of its spellings, and no two share one', (t) => {
  const seen = new Set<string>();
  for (const command of COMMANDS) {
    for (const words of spellings(command)) {
      t.is(findCommand(words), command);
      t.false(seen.has(words.join(' ')), words.join(' '));
      seen.add(words.join(' '));
    }
  }
});

test('flags of a command have names and letters of their own', (t) => {
  for (const command of COMMANDS) {
    const names = command.flags.flatMap((flag) => [
      flag.name,
      ...(flag.aliases ?? []),
      ...(flag.short === undefined ? [] : [`-${flag.short}`]),
    ]);
    t.deepEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      [],
      command.name,
    );
  }
});

test('every command has a module that runs', async (t) => {
  for (const command of COMMANDS) if (command.load) t.is(typeof (await command.load()).run, 'function', command.name);
});

test('--help wins over what is missing', async (t) => {
  const { code, stdout } = await husk(['rename', '--help']);
  t.is(code, 0);
  t.regex(
    stdout,
    /^Usage: {2}husk rename CONTAINER NEW_NAME\n\nRename a container\n\nAliases:\n {2}husk container rename, husk rename\n$/,
  );
});

test('wrap keeps long words whole and line breaks', (t) =>
  t.deepEqual(wrap('aaa bbb cccccccc\nd', 7), ['aaa bbb', 'cccccccc', 'd']));
