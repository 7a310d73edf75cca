/** Which images of a tag a push sends. Expected values are what getPushDescriptor of moby's containerd store chooses. */
import test from 'ava';
import { formatPlatform, parsePlatform } from '../../../src/images/store/platform.ts';
import { choosePushed } from '../../../src/images/store/push-choice.ts';

/** @param texts platforms of the index, in its order; with `-` before it the image is not here */
const choose = (texts: readonly string[], { wanted, host = 'linux/amd64' }: { wanted?: string; host?: string }) =>
  choosePushed(
    texts.map((text) => ({
      id: text.replace('-', ''),
      platform: parsePlatform(text.replace('-', '')),
      isHere: !text.startsWith('-'),
    })),
    'app:1',
    wanted === undefined ? undefined : parsePlatform(wanted),
    parsePlatform(host),
  );

const [AMD, ARM, ARM7, S390] = ['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'linux/s390x'] as const;

for (const [what, texts, options, ids, lacking] of [
  ['all that are here go with an index', [ARM, AMD], {}, [ARM, AMD], []],
  ['one image has no index', [ARM], {}, [ARM], []],
  ['the one that was asked for', [ARM, AMD], { wanted: ARM }, [ARM], []],
  ['the one that was asked for, whatever is not here', [ARM, `-${AMD}`], { wanted: ARM }, [ARM], []],
  ['the very variant before one that serves too', ['linux/arm/v6', ARM7], { wanted: ARM7 }, [ARM7], []],
  ['a variant that serves', ['linux/arm/v6', AMD], { wanted: ARM7 }, ['linux/arm/v6'], []],
  ["this machine's, where some are not here", [ARM, AMD, `-${S390}`], {}, [AMD], [S390]],
  ['the only one that is here', [`-${AMD}`, ARM, `-${S390}`], {}, [ARM], [AMD, S390]],
] as const)
  test(what, (t) => {
    const chosen = choose(texts as readonly string[], options);
    t.deepEqual(chosen.ids, ids as unknown as string[]);
    t.is(chosen.isIndex, ids.length > 1);
    t.deepEqual(chosen.lacking.map(formatPlatform), lacking as unknown as string[]);
  });

for (const [what, texts, wanted, message, fix, kind] of [
  [
    'a platform that it never had',
    [ARM, AMD],
    S390,
    'image with reference app:1 was found but does not provide the specified platform (linux/s390x)',
    'it has linux/arm64, linux/amd64',
    'not-found',
  ],
  [
    'a platform whose image has been removed',
    [ARM, `-${AMD}`],
    AMD,
    'image with reference app:1 was found but does not provide the specified platform (linux/amd64)',
    'it has linux/arm64',
    'not-found',
  ],
  [
    'several are here, none of this machine, and not all',
    [ARM, ARM7, `-${AMD}`],
    undefined,
    'multiple matching manifests found but no specific platform requested: of app:1 linux/amd64 is not here',
    'say which one is meant, of linux/arm64, linux/arm/v7: --platform linux/arm64',
    'conflict',
  ],
  [
    'none is here',
    [`-${ARM}`, `-${AMD}`],
    undefined,
    'image with reference app:1 is for several platforms, and none of them is here: linux/arm64, linux/amd64',
    undefined,
    'not-found',
  ],
] as const)
  test(`refused: ${what}`, (t) => {
    const error = t.throws(() => choose(texts as readonly string[], wanted === undefined ? {} : { wanted }));
    t.is(error?.message, message);
    t.like(error, { kind, fix });
  });
