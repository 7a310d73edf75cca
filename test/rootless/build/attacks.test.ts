/** What a hostile step does, and what is left of it. */
import { both } from './steps.ts';

both(
  'links and other things in place of what husk mounts: nothing outside is touched, and nothing of husk is in the layer',
  `
  fs.writeFileSync('victim', 'safe');
  const made = await step('rm -f /etc/resolv.conf 2>/dev/null; ln -sf ' + resolve('victim') + ' /etc/resolv.conf 2>/dev/null; mv /etc/hosts /etc/other 2>/dev/null; rm -rf /dev /proc /sys 2>/dev/null; rmdir /src 2>/dev/null; mv /src /moved 2>/dev/null; ln -s /etc /etc/hosts.d; echo end', { mounts: [{ type: 'tmpfs', target: '/src' }] });
  console.log(made.all, '-', listOf(made), '-', fs.readFileSync('victim', 'utf8'));
  const next = await step('ls -d /src /dev /proc /sys /moved; readlink /etc/hosts.d', { layers: [base, layerOf(made)] });
  console.log(next.all.replaceAll('\\n', ' '));
`,
  /^end - etc\/ etc\/hosts\.d - safe\n/,
);

both(
  'what it leaves running ends with it, however it hides',
  `
  const made = await step('for i in 1 2 3; do setsid sh -c "trap : TERM HUP; while :; do sleep ' + SLEEP + '; done" >/dev/null 2>&1 & done; (sleep ' + SLEEP + ' &); nohup setsid sleep ' + SLEEP + ' >/dev/null 2>&1 & echo $(ls -d /proc/[0-9]* | wc -l)');
  console.log(Number(made.all.split('\\n').at(-1)) > 5, runs());
`,
  'true false\n',
);

both(
  'as many processes as it likes: the step ends, and all of them',
  `
  const made = await step('i=0; while [ $i -lt 300 ]; do sleep ' + SLEEP + ' & i=$((i+1)); done; echo $i');
  console.log(made.all, runs());
`,
  '300 false\n',
);

both(
  'names of whiteouts, sockets and FIFOs; what is left out is said, and the times of its folder stay',
  `
  const made = await step('mkdir /d; cd /d; mkdir -p .wh.a/b .wh..wh..opq; echo x >.wh.a/b/c; echo x >.wh.f; echo x >kept; mkfifo p; nc -lk -s /d/sock local:/d/sock 2>/dev/null & sleep 0; python3 -c 1 2>/dev/null; touch -d 2001-01-01 /d; exit 0');
  console.log(listOf(made));
  console.log(made.leftOut.join('\\n'));
  console.log(new Date(fs.statSync(join(layerOf(made).tree, 'd')).mtimeMs).getUTCFullYear(), fs.readdirSync(join(layerOf(made).tree, 'd')).join(' '));
`,
  `d/ d/kept d/p
/d/.wh..wh..opq is left out: its name means a deletion in a layer
/d/.wh.a is left out: its name means a deletion in a layer
/d/.wh.f is left out: its name means a deletion in a layer
2001 kept p
`,
);

both(
  'devices are not made, and a whiteout of its own hand is refused by the kernel',
  `
  const made = await step('mknod /dev0 c 0 0; mknod /null c 1 3; mknod /b b 7 0; ls -a / | grep -c "^dev0\\\\|^null"');
  console.log(made.all.split('\\n').at(-1), made.layer?.size);
`,
  /^0 (undefined|1024)\n$/,
);

both(
  'attributes, hard links, set-user-ID files, folders that nobody may enter: the layer unpacks to the same tree',
  `
  const script = 'mkdir -p /a/closed/in; echo x >/a/closed/in/f; chmod 0 /a/closed /a/closed/in/f; echo s >/a/suid; chown 1000:7 /a/suid; chmod 6755 /a/suid; ln /a/suid /a/z; ln -s /a /a/l; ln /a/l /a/l2; mkdir /a/sticky; chmod 3777 /a/sticky; chown 7:8 /a/sticky; rm -r /bin/vi /etc; mkdir /etc; echo new >/etc/passwd; touch -h -d 1999-01-01 /a/l; truncate -s 3000000 /a/sparse; echo end >>/a/sparse; chmod 700 /; chown 5:5 /';
  const made = await step(script);
  // The tree that was the upper folder, beside that of the same tar unpacked anew.
  const { ensureUnpacked } = await load('images/layers/unpack.ts');
  const tree = layerOf(made).tree;
  fs.renameSync(tree, join(p.layers, 'first'));
  await ensureUnpacked([layerOf(made)], p);
  const list = (folder) => new Promise((listed) => {
    const launched = runInUserNamespace({ program: ['sh', '-c', 'cd "$0" && find . -printf "%P|%y|%m|%U:%G|%T@|%n|%l\\\\n" | LC_ALL=C sort; find . -type f -exec sha256sum {} + | LC_ALL=C sort', folder], stdout: 'pipe', reach: { kept: [folder] } });
    // The kernel gives the whiteouts of a mount one inode.
    text(launched.stdout).then((all) => listed(all.replace(/\\|c\\|0\\|0:0.*/g, '|whiteout')));
  });
  const [one, other] = [await list(join(p.layers, 'first')), await list(tree)];
  console.log(one === other || one + '\\n--- unpacked:\\n' + other, one.split('\\n').length);
  console.log(/a.suid\\|f\\|6755\\|1000:7/.test(one), fs.statSync(layerOf(made).tar).blocks * 512 < layerOf(made).size);
`,
  /^true \d\d\ntrue true\n$/,
);

both(
  'a path that is too long for a tar ends in one clear line, and the store is as before',
  `
  const before = fs.readdirSync(p.layers).length;
  console.log((await failed(step('i=0; n=' + 'n'.repeat(200) + '; while [ $i -lt 25 ]; do mkdir $n && cd $n; i=$((i+1)); done'))).replace(/n{50,}/g, 'N').slice(0, 60));
  console.log(fs.readdirSync(p.layers).length - before);
`,
  'cannot make a layer with a path of 4220 bytes below /N: no t\n0\n',
);

both(
  'output without end and without line ends comes in pieces',
  `
  let most = 0; let bytes = 0;
  const { exit } = await box.run({ layers: [base], operation: operation(['sh', '-c', 'head -c 30000000 /dev/zero; head -c 1000000 /dev/zero >&2']), output: (chunk) => { bytes += chunk.length; most = Math.max(most, chunk.length); } });
  console.log(exit.code, bytes, most <= 65536);
`,
  '0 31000000 true\n',
);
