/**
 * What a script or a starter of programs may do to husk, and small things that scripts of Docker's rely on: one command
 * line a case, run by a shell as an ordinary user.
 */
import test, { type ExecutionContext } from 'ava';
import { busyboxTar } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, type TestUser } from '../fixtures/user.ts';
import { missingBuild } from '../peer/peers.ts';

const missing = missingBuild();
let user: TestUser;
/** `husk` is a function of the shell; `one` is a container that runs */
const shell = (line: string) => user.run(['bash', '-c', `husk() { ${HUSK} "$@"; }; ${line}`]);

const CASES: [line: string, status: number, stdout: string | RegExp, stderr?: string | RegExp][] = [
  // closed standard streams: what is opened next must not become somebody's output
  ['(exec >&- 2>&-; husk run --rm --network none box true); echo $?', 0, '0\n'],
  ['(exec <&- >&-; husk run --rm --network none box true); echo $?', 0, '0\n'],
  ['husk run --rm -i --network none box cat <&-', 0, ''],
  ['husk run --rm --network none box echo x >&-', 0, ''],
  // what the starter left open above a gap: a container's supervisor holds no lock of it; what an argument names is
  // there
  [
    'exec 50>lock; flock -n 50; husk run -d --name holds --network none box sleep 1000 >/dev/null; exec 50>&-; flock -n lock echo free; husk rm -f holds >/dev/null',
    0,
    'free\n',
  ],
  ["husk run --rm --network none --env-file <(echo A=b) box sh -c 'echo $A'", 0, 'b\n'],
  ['exec 50</; husk run --rm --network none box ls /proc/self/fd', 0, '0\n1\n2\n3\n'],
  // a full disk behind the output
  ['husk ps >/dev/full', 1, '', 'Error: write /dev/stdout: no space left on device\n'],
  ['husk run --rm --network none box echo x >/dev/full', 1, '', 'Error: write /dev/stdout: no space left on device\n'],
  // inspect goes on
  [
    "husk inspect -f '{{.State.Running}}' box one nosuch",
    1,
    'true\n',
    /No such object: nosuch[^]*template parsing error: .*map has no entry for key "State"/,
  ],
  ["husk inspect -f '{{' one", 64, '', /^Error: template parsing error: template: :1: /],
  ["husk ps --format '{{'", 1, '', /failed to parse template/],
  // exit codes of what a daemon refuses
  ['husk exec -d one nosuch', 1, '', /"nosuch": executable file not found/],
  ['husk exec one nosuch', 127, '', /"nosuch": executable file not found/],
  ['husk update --restart foo one', 1, '', /invalid restart policy/],
  ['husk run --restart foo --network none box', 125, '', /invalid restart policy/],
  ['husk volume prune -af --filter all=1', 1, '', /conflicting options: cannot specify both --all and --filter all=1/],
  [
    'husk volume create x',
    1,
    '',
    /create x: volume name is too short, names should be at least two alphanumeric characters/,
  ],
  ['husk run --rm --network none -v x:/x box', 125, '', /create x: volume name is too short/],
  ['husk ps -f is-task=x', 1, '', /invalid filter 'is-task=x'/],
  // the whole of a running container, without what the kernel makes up
  [
    "husk cp one:/ - | tar t | sed -n '\\,^\\(\\./\\)*\\(proc\\|sys\\|bin/cat\\),p' | sort; echo ${PIPESTATUS[0]}",
    0,
    /^(?:\.\/)*bin\/cat\n(?:\.\/)*proc\/\n(?:\.\/)*sys\/\n0\n$/,
    /^(?:.*left out.*\n)*$/,
  ],
  // fields that scripts ask for
  [
    "husk ps -q --format '{{.Names}}'",
    0,
    /^[0-9a-f]{12}\n$/,
    'WARNING: Ignoring custom format, because both --format and --quiet are set.\n',
  ],
  ["husk info -f '{{.Swarm.LocalNodeState}} {{.ClientInfo.Context}}'", 0, 'inactive default\n'],
  ["husk version -f '{{.Server.APIVersion}} {{.Client.Context}}'", 0, /^1\.\d+ default\n$/],
  [
    "husk inspect -f '{{.HostConfig.Binds}} {{len .HostConfig.CapAdd}} {{json .HostConfig.Binds}} {{.Config.Entrypoint}} {{.HostConfig.PidsLimit}}' one",
    0,
    '[] 0 null [] <nil>\n',
  ],
  ["husk inspect -f '{{.HostConfig.CPUShares}} {{if .ID}}same{{end}}' one", 0, '0 same\n'],
  ["husk inspect -f '{{json .}}' one | grep -c '\"ID\"'", 1, '0\n'],
  [
    'husk export -o /dev/null one',
    1,
    '',
    'Error: invalid output path: "/dev/null" must be a directory or a regular file: got a device\n',
  ],
  ['husk export -o /nosuch/x one', 1, '', 'Error: invalid output path: directory "/nosuch" does not exist\n'],
  [
    'husk run --rm --network none -v /nosuch/x:/x box',
    125,
    '',
    /error while creating mount source path '\/nosuch\/x': mkdir \/nosuch\/x: permission denied/,
  ],
  [
    "husk inspect -f '{{json .HostConfig.Mounts}}' $(husk create --network none --mount type=tmpfs,dst=/a,tmpfs-size=1m,tmpfs-mode=1770 --mount type=volume,src=vv,dst=/b,volume-nocopy,volume-label=a=b --mount type=bind,src=/tmp,dst=/c,ro,bind-propagation=rslave,bind-recursive=disabled box true)",
    0,
    '[{"Type":"tmpfs","Target":"/a","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}},{"Type":"volume","Source":"vv","Target":"/b","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"}}},{"Type":"bind","Source":"/tmp","Target":"/c","ReadOnly":true,"BindOptions":{"Propagation":"rslave","NonRecursive":true}}]\n',
  ],
  ["husk inspect -f '{{json .Config.Volumes}}' one", 0, '{"/anonymous":{}}\n'],
];

if (missing) test.skip(`needs ${missing}`, () => {});
else {
  test.before((t) => {
    user = ordinaryUser();
    const { status, stderr } = shell(
      `husk import --change 'CMD ["sh"]' - box <${busyboxTar()} && husk run -d --name one --network none -v /anonymous box sleep 1000`,
    );
    t.is(status, 0, stderr);
  });
  test.after.always(() => {
    shell('husk rm -f -v $(husk ps -aq)');
    user[Symbol.dispose]();
  });
  const agrees = (t: ExecutionContext, found: string, expected: string | RegExp) =>
    typeof expected === 'string' ? t.is(found, expected) : t.regex(found, expected);
  for (const [line, status, stdout, stderr = ''] of CASES)
    test.serial(line, (t) => {
      const result = shell(line);
      agrees(t, result.stderr, stderr);
      agrees(t, result.stdout, stdout);
      t.is(result.status, status);
    });
}
