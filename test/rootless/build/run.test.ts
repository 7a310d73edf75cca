/** RUN steps in user namespaces: what the command sees, and the layer that it leaves. */
import { both } from './steps.ts';

both(
  'the container of a step',
  `
  const { all, exit } = await step('echo $$ $(id -u) $(hostname) $(umask); cat; env | sort; echo bad >&2; exit 7', { how: { env: ['A=1', 'A=2'], hidden: ['HTTP_PROXY=x'] } });
  console.log(JSON.stringify(exit), all);
`,
  `{"code":7} 1 0 buildkitsandbox 0022
A=2
HOME=/root
HTTP_PROXY=x
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PWD=/
SHLVL=1
bad
`,
);

both(
  'a step that changes nothing leaves the empty layer',
  `
  const made = await step('true');
  console.log(layerOf(made).diffId, layerOf(made).size, JSON.stringify(made.leftOut), fs.existsSync(layerOf(made).tree));
  console.log((await step('false')).layer);
`,
  `sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef 1024 [] true
undefined
`,
);

both(
  'the layer has what was made, changed and deleted, and nothing of husk',
  `
  const made = await step('mkdir -p /d/e; echo x >/d/b; ln /d/b /d/c; ln -s nowhere /l; mkfifo /f; rm /bin/ls; rm -rf /tmp; mkdir /tmp; echo >/etc/new; chown 5:6 /d; chmod 4755 /d/b; echo more >>/etc/hosts; echo more >>/etc/resolv.conf');
  console.log(listOf(made));
  const next = await step('ls /bin/ls; cat /d/c; stat -c "%a %u %g %h" /d/b /d; cat /etc/hosts | grep -c more; test -e /tmp/x || echo empty', { layers: [base, layerOf(made)] });
  console.log(next.all);
`,
  `bin/ bin/.wh.ls d/ d/b d/c d/e/ etc/ etc/new f l tmp/ tmp/.wh..wh..opq
ls: /bin/ls: No such file or directory
x
4755 0 0 2
755 5 6 3
0
empty
`,
);

both(
  'users, working folders and commands that are not there',
  `
  console.log((await step('id -u; id -g; pwd; echo $HOME', { how: { user: 'ann', cwd: '/w/x' } })).all.replaceAll('\\n', ' '));
  console.log((await step('id -u; id -g', { how: { user: '7:8' } })).all.replaceAll('\\n', ' '));
  for (const how of [{ user: 'bob' }, { user: 'root:none' }]) console.log(await failed(step('true', { how })));
  for (const argv of [['nope'], ['/etc/passwd'], ['/bin']]) console.log(await failed(box.run({ layers: [base], operation: operation(argv), output() {} })));
`,
  `1000 1000 /w/x /home/ann
7 8
unable to find user bob: no matching entries in passwd file
unable to find group none: no matching entries in group file
exec: "nope": executable file not found in $PATH
exec: "/etc/passwd": permission denied
exec: "/bin": is a directory
`,
);

both(
  "rights are those of any container's, unless the step is to be insecure",
  `
  const show = async (insecure) => (await step("grep -e CapEff -e CapBnd -e Seccomp: -e NoNewPrivs /proc/self/status | tr -d '\\\\t\\\\n'; cat /proc/interrupts | wc -c; echo x 2>/dev/null >/proc/sys/kernel/domainname || echo closed", { how: { insecure } })).all.replaceAll('\\n', ' ');
  console.log(await show(false));
  console.log(/CapEff:0*1f+CapBnd.*Seccomp:0/.test(await show(true)));
`,
  /^CapEff:00000000a80425fbCapBnd:00000000a80425fbNoNewPrivs:0Seccomp:2 ?0 closed\ntrue\n$/,
);

both(
  'nothing of the layer is younger than the epoch, and what is older stays as it is',
  `
  const made = await step('mkdir /d; echo x >/d/new; ln /d/new /d/hard; echo y >/d/old; touch -d @1000000000 /d/old; ln -s x /d/link; mkfifo /d/fifo; rm /bin/vi', { epoch: 1234567890 });
  const times = execFileSync('tar', ['tvf', layerOf(made).tar, '--full-time', '--utc'], { encoding: 'utf8' }).trim().split('\\n').map((line) => line.split(/\\s+/).slice(3, 6).join(' '));
  console.log(times.join('\\n'));
  console.log(['d', 'd/new', 'd/old', 'd/fifo', 'bin'].map((name) => fs.lstatSync(join(layerOf(made).tree, name)).mtimeMs / 1000).join(' '));
  const again = await step('mkdir /d; echo x >/d/new; ln /d/new /d/hard; echo y >/d/old; touch -d @1000000000 /d/old; ln -s x /d/link; mkfifo /d/fifo; rm /bin/vi', { epoch: 1234567890 });
  console.log(layerOf(again).diffId === layerOf(made).diffId);
`,
  /^2009-02-13 23:31:30 bin\/\n1970-01-01 00:00:00 bin\/.wh.vi\n(2009-02-13 23:31:30 d\S*\n){5}2001-09-09 01:46:40 d\/old\n1234567890 1234567890 1000000000 1234567890 1234567890\ntrue\n$/,
);
