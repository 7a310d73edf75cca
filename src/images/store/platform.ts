/**
 * Platforms: `os/architecture[/variant]` as `--platform` takes them, and which entry of an index serves one. These
 * functions are pure. Normalisation and the order of variants follow containerd's platforms package (Default matcher).
 */
import { arch } from 'node:process';
import { HuskError } from '../../errors.ts';
import type { Images, Platform } from './contract.ts';
import { DOCKER_MANIFEST, type IndexEntry, OCI_MANIFEST } from './manifest.ts';

/** Go's names of architectures by Node's, where they differ */
const NODE_ARCHITECTURES: Record<string, string> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

export function hostPlatform(): Platform {
  return normalize({ os: 'linux', architecture: NODE_ARCHITECTURES[arch] ?? arch });
}

/** Normalizes a platform: `x86_64` and similar names become Go's; default variants are left out, as in containerd. */
export function normalize({ os, architecture, variant }: Platform): Platform {
  let arch = architecture.toLowerCase();
  let v = variant?.toLowerCase();
  if (arch === 'i386' || arch === 'i486' || arch === 'i586' || arch === 'i686') arch = '386';
  else if (arch === 'x86_64' || arch === 'x86-64') arch = 'amd64';
  else if (arch === 'aarch64') arch = 'arm64';
  else if (arch === 'armhf') [arch, v] = ['arm', 'v7'];
  else if (arch === 'armel') [arch, v] = ['arm', 'v6'];
  if (arch === '386') v = undefined;
  if (arch === 'amd64' && v === 'v1') v = undefined;
  if (arch === 'arm64' && (v === '8' || v === 'v8')) v = undefined;
  if (arch === 'arm') v = v === undefined ? 'v7' : /^\d+$/.test(v) ? `v${v}` : v;
  return { os: os.toLowerCase(), architecture: arch, ...(v ? { variant: v } : {}) };
}

/** words that a platform of one word can be: containerd's lists of GOOS and GOARCH (platforms/database.go) */
const SYSTEMS = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
);
const ARCHITECTURES = new Set(
  '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'.split(
    ' ',
  ),
);

/** @returns whether both words are containerd's, as an entry of a manifest list must have them */
export const isKnown = ({ os, architecture }: Platform): boolean => SYSTEMS.has(os) && ARCHITECTURES.has(architecture);

/**
 * Parses `linux/arm64/v8`, `linux/amd64`, `arm64`, `linux`.
 * @throws HuskError `invalid` with containerd's text for a word that is neither a system nor an architecture
 */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/');
  if (parts.length > 3 || !parts.every((part) => /^[A-Za-z0-9_.-]{1,64}$/.test(part)))
    throw new HuskError(`invalid platform "${text}"`, {
      kind: 'invalid',
      fix: 'write os/architecture[/variant], e.g. linux/amd64',
    });
  const host = hostPlatform();
  if (parts.length === 1) {
    const word = parts[0]!.toLowerCase();
    if (SYSTEMS.has(word)) return { ...host, os: word };
    const platform = normalize({ os: host.os, architecture: word });
    if (ARCHITECTURES.has(platform.architecture)) return platform;
    throw new HuskError(`"${text}": unknown operating system or architecture: invalid argument`, {
      kind: 'invalid',
      fix: 'write os/architecture[/variant], e.g. linux/amd64',
    });
  }
  return normalize({ os: parts[0]!, architecture: parts[1]!, ...(parts[2] ? { variant: parts[2] } : {}) });
}

export const formatPlatform = ({ os, architecture, variant }: Platform) =>
  `${os}/${architecture}${variant ? `/${variant}` : ''}`;

/**
 * @returns the platforms that can serve `wanted`, best first: arm v7 runs v6 and v5 images, amd64 v3 runs v2 and plain
 * ones
 */
function acceptable(wanted: Platform): Platform[] {
  const result = [wanted];
  const version = /^v(\d)$/.exec(wanted.variant ?? '');
  if (wanted.architecture === 'arm' && version)
    for (let v = Number(version[1]) - 1; v >= 5; v--) result.push({ ...wanted, variant: `v${v}` });
  if (wanted.architecture === 'amd64' && version)
    for (let v = Number(version[1]) - 1; v >= 1; v--) result.push(normalize({ ...wanted, variant: `v${v}` }));
  return result;
}

export function samePlatform(one: Platform, other: Platform): boolean {
  const [a, b] = [normalize(one), normalize(other)];
  return a.os === b.os && a.architecture === b.architecture && a.variant === b.variant;
}

/** @returns whether an image of platform `have` serves the request */
export function serves(have: Platform, wanted: Platform): boolean {
  return acceptable(normalize(wanted)).some((platform) => samePlatform(platform, have));
}

/** media types of images: an index in an index and an artifact of another kind are no images */
const IMAGE_TYPES: readonly string[] = [OCI_MANIFEST, DOCKER_MANIFEST];

/** @returns whether an entry may be an image, for whatever platform: BuildKit's caches are indexes of layers */
export const mayBeImage = ({ mediaType, platform }: IndexEntry): boolean =>
  platform !== undefined || IMAGE_TYPES.includes(mediaType);

/** @returns the entry to pull, or undefined; attestations and entries of `unknown/unknown` never match */
export function chooseEntry(entries: IndexEntry[], wanted: Platform): IndexEntry | undefined {
  for (const platform of acceptable(normalize(wanted))) {
    const match = entries.find((entry) => entry.platform && samePlatform(entry.platform, platform));
    if (match) return match;
  }
  // `platform` is optional (OCI image-spec image-index.md): an image without one is used when no entry names a platform
  // that fits.
  return entries.find((entry) => !entry.platform && mayBeImage(entry));
}

/**
 * Checks that local images are for a platform.
 * @param images.get gives the image that the caller is about
 * @throws HuskError `not-found` with Docker's text, naming the first of these images that has another platform
 */
export function requirePlatform(images: Pick<Images, 'get'>, references: readonly string[], platform: Platform): void {
  for (const reference of references) {
    const { config } = images.get(reference);
    if (serves(config, platform)) continue;
    throw new HuskError(
      `image with reference ${reference} was found but does not provide the specified platform (${formatPlatform(platform)})`,
      { kind: 'not-found', fix: `it has ${formatPlatform(config)}` },
    );
  }
}
