/** How steps are ended from outside. */
import { both } from './steps.ts';

both(
  'a signal: every process gets SIGTERM, and what does not end is killed',
  `
  const interrupted = async (script, ready = 'go') => {
    const abort = new AbortController();
    let all = '';
    const began = performance.now();
    let at;
    const ended = step(script, { signal: abort.signal, heard: (text) => { all = text; if (text.includes(ready) && !at) { at = performance.now(); abort.abort(new Error('interrupted')); } } });
    const why = await failed(ended);
    return [why, performance.now() - at, all.trim().split('\\n').join(' ')];
  };
  const [why, , said] = await interrupted('trap "echo term; exit 0" TERM; sh -c "trap \\\\"echo child; exit\\\\" TERM; echo go; while :; do sleep 0.1; done" & wait; wait');
  console.log(why, said.split(' ').sort().join(' '));
  const [stubborn, took] = await interrupted('trap "" TERM; echo go; while :; do sleep ' + SLEEP + '; done');
  console.log(stubborn, took > 1900);
`,
  // a shell says so when the signal ends its sleep first
  /^interrupted (Terminated )?(child )?go term\ninterrupted true\n$/,
);

both(
  'a second one: it is killed at once; and a signal that was there before',
  `
  const [soft, hard] = [new AbortController(), new AbortController()];
  let at = 0;
  const why = await failed(step('trap "" TERM; echo go; while :; do sleep ' + SLEEP + '; done', { signal: soft.signal, kill: hard.signal, heard: () => { if (at) return; at = performance.now(); soft.abort(new Error('soft')); hard.abort(new Error('hard')); } }));
  console.log(why);
  console.log(await failed(step('echo never', { signal: AbortSignal.abort(new Error('before')), heard: () => console.log('ran') })));
  console.log(runs());
`,
  'hard\nbefore\nfalse\n',
);

both(
  'close ends what runs',
  `
  const began = Promise.withResolvers();
  const ended = failed(step('echo go; sleep ' + SLEEP + '', { heard: began.resolve }));
  await began.promise;
  await box.close();
  console.log(await ended, await failed(step('true')));
`,
  'the build was ended the build was ended\n',
);

both(
  'when the build is killed nothing of it runs on',
  `
  const { spawn } = await import('node:child_process');
  const inside = INSIDE;
  fs.mkdirSync('other');
  const code = 'const { step } = await import(' + JSON.stringify(inside) + '); await step("setsid sleep ' + SLEEP + ' & echo go; sleep ' + SLEEP + '", { heard: (text) => process.stdout.write("go") });';
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', code], { cwd: 'other', stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((ready) => child.stdout.once('data', ready));
  const helpers = () => spawnSync('pgrep', ['-P', String(child.pid)]).status === 0;
  console.log(runs(), helpers());
  child.kill('SIGKILL');
  await new Promise((ended) => child.once('close', ended));
  await within(() => !runs());
  console.log(runs());
`,
  'true true\nfalse\n',
);
