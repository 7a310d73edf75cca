/**
 * A lookup of `..` below a folder, while another process renames: the kernel gives such a lookup up, and nobody may
 * notice.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { O_PATH } from '../../../src/host/files/file-at.ts';
import { closeFd, openFolder, openInRoot, openWithin } from '../../../src/host/files/lookup.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

/** some hundred of them fail where nothing is tried again */
const LOOKUPS = 20_000;
const RENAMES = `
  const { renameSync } = require('node:fs');
  process.stdout.write('ready');
  for (;;) { renameSync('one', 'two'); renameSync('two', 'one'); }
`;

for (const [name, open] of Object.entries({ openInRoot, openWithin }))
  test.serial(`${name} beside a process that does nothing but rename`, async (t) => {
    const base = temporaryFolder('husk-lookup-');
    mkdirSync(join(base, 'folder/inner'), { recursive: true });
    writeFileSync(join(base, 'folder/file'), '');
    writeFileSync(join(base, 'one'), '');
    const renaming = spawn(process.execPath, ['-e', RENAMES], { cwd: base });
    t.teardown(() => renaming.kill('SIGKILL'));
    await once(renaming.stdout, 'data');
    const root = openFolder(base);
    t.notThrows(() => {
      for (let n = 0; n < LOOKUPS; n++) closeFd(open(root, 'folder/inner/../../folder/inner/../file', O_PATH));
    });
    t.is(renaming.exitCode, null, 'it renamed until the end');
    closeFd(root);
  });
