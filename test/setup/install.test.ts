/** `make install`: what is placed works without the checkout, and the user unit calls it where it will be. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../fixtures/user.ts';

const built = ['husk.cjs', 'husk.mjs', 'types'].every((name) => existsSync(join(ROOT, 'dist', name)));

(built ? test : test.skip)(
  `an installed husk runs, and its unit names it${built ? '' : ' (needs make build)'}`,
  (t) => {
    const stage = mkdtempSync(join(tmpdir(), 'husk-install-'));
    t.teardown(() => rmSync(stage, { recursive: true, force: true }));
    const prefix = join(stage, 'usr/local');
    const installed = spawnSync('setup/install', [prefix, '/usr/local'], { cwd: ROOT, encoding: 'utf8' });
    t.is(installed.status, 0, installed.stderr);
    const { status, stdout, stderr } = spawnSync(join(prefix, 'bin/husk'), ['--version'], {
      cwd: '/',
      encoding: 'utf8',
      env: { HOME: stage },
    });
    t.is(status, 0, stderr);
    t.regex(stdout, /^husk version \d/);
    t.is(spawnSync(join(prefix, 'lib/husk/husk-net'), ['check-many'], { input: '', encoding: 'utf8' }).stdout, '0 0\n');
    for (const part of ['vmlinux', 'agent.erofs', 'writable.disk'])
      t.is(existsSync(join(prefix, 'lib/husk', part)), existsSync(join(ROOT, 'dist', part)), part);
    const unit = readFileSync(join(prefix, 'share/systemd/user/husk-restart.service'), 'utf8');
    t.regex(unit, /^ExecStart=-\/usr\/local\/bin\/husk start --all-restartable$/m);
    t.regex(unit, /^WantedBy=default\.target$/m);
    t.notRegex(unit, /@/);
    const service = readFileSync(join(prefix, 'share/systemd/user/husk.service'), 'utf8');
    t.regex(service, /^ExecStart=\/usr\/local\/bin\/husk serve$/m);
    const socket = readFileSync(join(prefix, 'share/systemd/user/husk.socket'), 'utf8');
    t.regex(socket, /^ListenStream=%t\/husk\/docker\.sock$/m);
    t.regex(socket, /^SocketMode=0600$/m);
  },
);
