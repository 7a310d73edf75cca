/** Golden cases in which husk is meant to differ from BuildKit 0.12, and those that are not right yet. */
import type { Outcome } from './golden-case.ts';

interface Difference {
  why: string;
  /** what husk gives instead; what is undefined is not compared */
  expected: Partial<Outcome>;
  /** of the last line */
  error?: RegExp;
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const FAILS = { rc: 1, config: undefined, tree: undefined, out: undefined };

export const DIFFERENT: Record<string, Difference> = {
  contspace: {
    why: 'the newest frontend has a shorter text',
    expected: { warnings: ['Empty continuation line'] },
  },
  chownunknown: {
    why: 'a name that the stage does not have is refused',
    expected: FAILS,
    error: /nobodyhere|nogrp|unknown|no such/i,
  },
  multinoslash: {
    why: 'several sources need a folder',
    expected: FAILS,
    error: /When using COPY with more than one source file, the destination must be a directory and end with a \//,
  },
  wdrel: {
    why: 'the path of WORKDIR is cleaned',
    expected: { config: { Env: [PATH, 'D=/dd'], WorkingDir: '/dd/e' } },
  },
  special: {
    why: 'no layer can have a socket',
    expected: { tree: { d: 'd 0755 0:0', 'd/x': "f 0644 0:0 '1'" } },
  },
  addtar: {
    why: 'the newest BuildKit gives --chown to what is unpacked too',
    expected: {
      tree: {
        c: 'd 0755 0:0',
        'c/t.tar.gz': "f 0644 0:0 'sha:'",
        e: "f 0644 0:0 ''",
        lk: 'l 0777 0:0 -> /tgt',
        o: 'd 0755 0:0',
        'o/d': 'd 0755 0:0',
        'o/d/f': "f 0640 7:7 'one'",
        'o/l': 'l 0777 7:7 -> d/f',
        'o/root': "f 0640 0:0 'two'",
        own: 'd 0755 5:6',
        'own/d': 'd 0755 5:6',
        'own/d/f': "f 0640 5:6 'one'",
        'own/l': 'l 0777 5:6 -> d/f',
        'own/root': "f 0640 5:6 'two'",
        tgt: 'd 0755 0:0',
        'tgt/x': "f 0640 7:7 'ex'",
        w: 'd 0755 0:0',
        'w/x': "f 0640 7:7 'ex'",
      },
    },
  },
  chmod: { why: '--chmod=08 is no mode', expected: FAILS, error: /08/ },
  copyfromctx: {
    why: 'husk names what its own client found of a registry',
    expected: {},
    error: /^ERROR: failed to solve: (?:docker\.io\/library\/)?nope\S*: /,
  },
  secretenv: {
    why: 'env= of a secret is newer than BuildKit 0.12',
    expected: {
      rc: 0,
      out: ['OUT:fromenv', 'OUT:ls: /run/secrets: No such file or directory'],
      error: undefined,
      excerpt: undefined,
    },
  },
  targetmiss: {
    why: 'the nearest name is told',
    expected: {},
    error: /target stage "biuld" could not be found \(did you mean build\?\)$/,
  },
  run127: {
    why: 'the reason is told',
    expected: {},
    error: /process "nosuch" did not complete successfully: exec: "nosuch": executable file not found in \$PATH$/,
  },
  hostfiles: {
    why: '/etc/hosts and /etc/resolv.conf may be written to, and are not in the image; the lines are those of any container',
    expected: {
      rc: 0,
      excerpt: undefined,
      error: undefined,
      out: [
        'OUT:127.0.0.1\tlocalhost',
        'OUT:::1\tlocalhost ip6-localhost ip6-loopback',
        'OUT:fe00::\tip6-localnet',
        'OUT:ff00::\tip6-mcastprefix',
        'OUT:ff02::1\tip6-allnodes',
        'OUT:ff02::2\tip6-allrouters',
        'OUT:1.2.3.4\tfoo',
        'OUT:127.0.0.1\tbuildkitsandbox',
        'OUT:h:buildkitsandbox',
      ],
    },
  },
  onbuildnewdep: {
    why: 'the newest frontend lets a trigger name a stage that stands before the one that uses it',
    expected: { rc: 0, error: undefined, excerpt: undefined, tree: { z: "f 0644 0:0 'z\\n'" } },
  },
  bigenv: {
    why: 'the file is bounded, not its lines',
    expected: { rc: 0, error: undefined, excerpt: undefined, config: { Env: [PATH, `A=${'x'.repeat(70_000)}`] } },
  },
  directives: {
    why: 'the second directive is the wrong one',
    expected: { excerpt: ['   1 |     # escape=\\', '   2 | >>> # escape=`', '   3 |     FROM box', '   4 |     '] },
  },
  cmdspace: {
    why: 'what follows a JSON array makes it no JSON, as in the newest frontend',
    expected: { config: { Cmd: ['a', 'b'], Entrypoint: ['/bin/sh', '-c', '[ "x" ] y'] } },
  },
  mounttgtsym: { why: "the lengths of hosts and resolv.conf are this machine's", expected: { out: undefined } },
  env: {
    why: "stdin is /dev/null, which is at its end as BuildKit's pipe is",
    expected: { out: undefined },
  },
  devnull: {
    why: 'devices are mounts in a user namespace, which a step cannot take away',
    expected: { out: undefined },
  },
};

/** By id, with the reason. A case that is right and stands here fails the test. */
export const FAILING: Record<string, string> = {};
