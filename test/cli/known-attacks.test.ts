/**
 * Attacks that other runtimes were open to, tried here: one command line a case, by their CVE. More of them are tested
 * in their rooms: docs/security.md § Known attacks.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { busyboxTar } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, type TestUser } from '../fixtures/user.ts';
import { INIT_PROGRAM } from '../../src/program.ts';
import { missingBuild } from '../peer/peers.ts';

const missing = missingBuild();
let user: TestUser;
/** `husk` is a function of the shell; `one` is a container that runs */
const shell = (line: string) =>
  user.run(['bash', '-c', `husk() { ${HUSK} "$@"; }; R='husk run --rm --network none'; ${line}`]);
const hash = () => createHash('sha256').update(readFileSync(INIT_PROGRAM)).digest('hex');

const CASES: [cve: string, line: string, status: number | 'any', stdout: string | RegExp][] = [
  // a working folder that is a descriptor of the runtime's leads to the host: the marker lies in the caller's home
  [
    'CVE-2024-21626',
    'touch marker; for n in 3 5 7 8 9; do $R -w /proc/self/fd/$n box sh -c "for up in . .. ../.. ../../..; do ls \\$up$PWD/marker \\$up/marker; done" 2>/dev/null; done; husk exec -w /proc/self/fd/7 one ls marker 2>/dev/null; true',
    0,
    '',
  ],
  // the runtime's own program as an interpreter, then written to
  [
    'CVE-2019-5736',
    'husk exec one sh -c \'printf "#!/proc/self/exe\\n" >/evil; chmod 755 /evil\'; husk exec one /evil; for p in $(husk exec one sh -c \'ls /proc | grep -x "[0-9]*"\'); do husk exec one sh -c "echo x 2>/dev/null >/proc/$p/exe"; done; true',
    0,
    '',
  ],
  [
    'CVE-2022-24769',
    '$R box grep CapInh /proc/self/status | cut -f2; husk exec one grep CapInh /proc/self/status | cut -f2; husk exec -u 1000 one grep CapInh /proc/self/status | cut -f2',
    0,
    '0000000000000000\n'.repeat(3),
  ],
  // the user's own group is among the further ones
  [
    'CVE-2022-36109',
    "$R -u 1000:1234 box sh -c 'id -G; grep Groups /proc/self/status'",
    0,
    /^1234\nGroups:\t1234 ?\n$/,
  ],
  [
    'CVE-2024-40635',
    'for u in 4294967296 4294967296:1 2147483648 1:4294967296 -1; do $R -u $u box id -u 2>/dev/null && echo ran $u; done; true',
    0,
    '',
  ],
  [
    'CVE-2017-16539, CVE-2018-10892',
    "$R box sh -c 'for f in /proc/scsi /proc/acpi; do ls $f 2>/dev/null; touch $f/x 2>/dev/null && echo written; done; true'",
    0,
    '',
  ],
  // nothing of husk's can be talked to by a name of the host's network namespace
  ['CVE-2020-15257', "husk run --rm --network host box grep -c -i '@.*husk' /proc/net/unix", 1, '0\n'],
  // a container's own ps, nsenter or library is never run for `top`, `cp` or `exec`
  [
    'CVE-2022-1227, CVE-2019-14271',
    'husk exec one sh -c \'rm -f /bin/ps /bin/nsenter /bin/tar; for f in ps nsenter tar; do printf "#!/bin/sh\\ntouch /ran\\n" >/bin/$f; chmod 755 /bin/$f; done; mkdir -p /lib; echo x >/lib/libnss_files.so.2\'; husk top one >/dev/null; husk cp one:/etc/passwd - >/dev/null; husk exec one ls /ran 2>/dev/null',
    'any',
    '',
  ],
  // a range of CPUs without measure is refused at once
  [
    'CVE-2018-20699',
    'husk run --rm --network none --cpuset-cpus 0-4000000000 box true 2>/dev/null; echo $?',
    0,
    /^(125|1)\n$/,
  ],
];

if (missing) test.skip(`needs ${missing}`, () => {});
else {
  test.before((t) => {
    user = ordinaryUser();
    const { status, stderr } = shell(
      `husk import --change 'CMD ["sh"]' - box <${busyboxTar()} && husk run -d --name one --network none box sleep 1000`,
    );
    t.is(status, 0, stderr);
  });
  test.after.always(() => {
    shell('husk rm -f -v $(husk ps -aq)');
    user[Symbol.dispose]();
  });
  const agrees = (t: ExecutionContext, found: string, expected: string | RegExp) =>
    typeof expected === 'string' ? t.is(found, expected) : t.regex(found, expected);
  for (const [cve, line, status, stdout] of CASES)
    test.serial(cve, (t) => {
      const before = hash();
      const result = shell(line);
      agrees(t, result.stdout, stdout);
      if (status !== 'any') t.is(result.status, status);
      t.is(hash(), before);
    });
}
