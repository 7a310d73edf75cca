/**
 * The words of a mount: the third part of `-v`, the keys of `--mount` and the options of `--tmpfs`, which a record
 * keeps as they were typed. This module parses them; it mounts nothing and is pure.
 */
import { HuskError } from '../errors.ts';
import { toMap } from './labels.ts';

export type MountType = 'bind' | 'volume' | 'tmpfs' | 'image';

export const PROPAGATIONS = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'] as const;
export type Propagation = (typeof PROPAGATIONS)[number];

export interface MountSettings {
  /** the last propagation that was named */
  propagation?: Propagation;
  /** whether mounts below the source are bound too (`rbind`) */
  bind?: 'bind' | 'rbind';
  /**
   * how mounts below a read-only source are treated: with `no` only the source itself is read-only; with `forced` all
   * of them, or the mount fails
   */
  recursiveReadonly?: 'no' | 'forced';
  /** noexec and similar flags */
  flags: string[];
  /** whether a new volume stays empty */
  noCopy: boolean;
  /** whether the source is given to the container's user (`U`) */
  chown: boolean;
  /** path below a volume or an image; '' where the option had no value */
  subpath?: string;
  /** driver of a volume that has to be made */
  driver?: string;
  labels?: Record<string, string>;
  driverOptions?: Record<string, string>;
  /** bytes and octal digits of `--mount type=tmpfs` */
  tmpfsSize?: string;
  tmpfsMode?: string;
}

/** flags that a bind or volume may have besides Docker's, as in Podman's `-v` */
const FLAGS = new Set(['noexec', 'exec', 'nosuid', 'suid', 'nodev', 'dev', 'noatime', 'relatime']);
/** options without effect in husk: SELinux labels, defaults, hints for macOS */
const WITHOUT_EFFECT =
  /^(rw|ro|z|Z|copy|cached|delegated|consistent|bind-create-src|consistency=.*|volume-nocopy(=.*)?|readonly(=.*)?)$/;

/** what the options of a bind say about the mounts below the source */
const BELOW: Record<string, Pick<MountSettings, 'bind' | 'recursiveReadonly'>> = {
  bind: { bind: 'bind' },
  'bind-nonrecursive': { bind: 'bind' },
  'bind-nonrecursive=true': { bind: 'bind' },
  'bind-recursive=disabled': { bind: 'bind' },
  rbind: { bind: 'rbind' },
  'bind-recursive=enabled': { bind: 'rbind' },
  'bind-recursive=readonly': { bind: 'rbind', recursiveReadonly: 'forced' },
  'bind-recursive=writable': { recursiveReadonly: 'no' },
};

export function isPropagation(text: string): text is Propagation {
  return PROPAGATIONS.includes(text as Propagation);
}

/** @returns whether mounts that are made on one side are visible on the other */
export function propagates({ propagation }: MountSettings): boolean {
  return propagation !== undefined && !propagation.endsWith('private');
}

/** Parses the options of a mount. @throws HuskError `invalid` for an option that mounts of this type do not have */
export function readMountOptions(type: MountType, options: readonly string[]): MountSettings {
  const settings: MountSettings = { flags: [], noCopy: false, chown: false };
  const labels: string[] = [];
  const driverOptions: string[] = [];
  for (const option of options) {
    const [key = '', value] = option.split(/=(.*)/s);
    if (type === 'image') {
      if (key !== 'image-subpath' || value === undefined) throw refusal(type, option);
      // Docker treats an empty subpath of an image as none.
      if (value !== '') settings.subpath = value;
      continue;
    }
    if (type === 'tmpfs' && (key === 'tmpfs-size' || key === 'tmpfs-mode')) {
      settings[key === 'tmpfs-size' ? 'tmpfsSize' : 'tmpfsMode'] = value ?? '';
      continue;
    }
    if (key === 'volume-subpath' && value !== undefined) settings.subpath = value;
    else if (key === 'volume-driver' && value !== undefined) settings.driver = value;
    else if (key === 'volume-label' && value !== undefined) labels.push(value);
    else if (key === 'volume-opt' && value !== undefined) driverOptions.push(value);
    else if (option === 'nocopy' || option === 'volume-nocopy') settings.noCopy = true;
    else if (option === 'U') settings.chown = true;
    else if (!WITHOUT_EFFECT.test(option) && (type === 'tmpfs' || !readBindOption(option, settings)))
      throw refusal(type, option);
  }
  if (labels.length > 0) settings.labels = toMap(labels);
  if (driverOptions.length > 0) settings.driverOptions = toMap(driverOptions);
  if (type === 'tmpfs') checkTmpfsOptions(tmpfsOptions(settings));
  return settings;
}

/** Applies an option of binds and volumes. @returns whether it is one */
function readBindOption(option: string, settings: MountSettings): boolean {
  const propagation = option.replace(/^bind-propagation=/, '');
  if (isPropagation(propagation)) settings.propagation = propagation;
  else if (FLAGS.has(option)) settings.flags.push(option);
  else if (Object.hasOwn(BELOW, option)) Object.assign(settings, BELOW[option]);
  else return false;
  return true;
}

function refusal(type: MountType, option: string): HuskError {
  return new HuskError(
    type === 'tmpfs'
      ? `invalid option for a tmpfs mount: ${option}`
      : type === 'image'
        ? `invalid mount config for type "image": it has no option ${JSON.stringify(option)}`
        : `invalid mode: ${option}`,
    { kind: 'invalid' },
  );
}

/** options of tmpfs(5), and the flags of mount(8) */
const TMPFS_OPTION =
  /^(defaults|ro|rw|suid|nosuid|dev|nodev|exec|noexec|sync|async|dirsync|remount|mand|nomand|atime|noatime|diratime|nodiratime|bind|rbind|r?(unbindable|private|shared|slave)|relatime|norelatime|strictatime|nostrictatime|(mode|uid|gid|size|nr_blocks|nr_inodes|mpol)=.+)$/;

/** @returns the options of `--mount type=tmpfs` in the form of `--tmpfs` */
export function tmpfsOptions({ tmpfsSize, tmpfsMode }: MountSettings): string[] {
  return [
    ...(tmpfsSize === undefined ? [] : [`size=${tmpfsSize}`]),
    ...(tmpfsMode === undefined ? [] : [`mode=${tmpfsMode}`]),
  ];
}

/** Parses `rw,size=64m` of `--tmpfs`. @throws HuskError `invalid` for an option that tmpfs does not have */
export function parseTmpfsOptions(text: string): string[] {
  const options = text.split(',').filter(Boolean);
  checkTmpfsOptions(options);
  return options;
}

function checkTmpfsOptions(options: readonly string[]): void {
  const wrong = options.find((option) => !TMPFS_OPTION.test(option));
  if (wrong !== undefined) throw new HuskError(`invalid tmpfs option ["${wrong}"]`, { kind: 'invalid' });
}
