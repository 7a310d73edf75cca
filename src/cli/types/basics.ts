/**
 * Types that several of Docker's structs have: times, durations, ports, and the modes that have methods. They follow
 * moby's api/types 28.2 and docker/go-connections.
 */
import { int, named, slice, string, struct, type GoType } from '../template/go-types.ts';
import { joinedContainer } from '../../notation/modes.ts';

const NANOSECONDS_PER_SECOND = 1e9;

/**
 * @returns the text of Go's time.Duration: `1h0m30s`, `1.5ms`
 * @param nanoseconds from a JSON number
 */
export function durationText(nanoseconds: number): string {
  const size = Math.abs(nanoseconds);
  const sign = nanoseconds < 0 ? '-' : '';
  if (size === 0) return '0s';
  if (size < 1e3) return `${sign}${size}ns`;
  if (size < 1e6) return `${sign}${size / 1e3}µs`;
  if (size < NANOSECONDS_PER_SECOND) return `${sign}${size / 1e6}ms`;
  const minutes = Math.floor(size / NANOSECONDS_PER_SECOND / 60);
  // The division comes last, because 90.1 - 60 would not be 30.1.
  const seconds = `${(size - minutes * 60 * NANOSECONDS_PER_SECOND) / NANOSECONDS_PER_SECOND}s`;
  const hours = Math.floor(minutes / 60);
  return `${sign}${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes % 60}m` : ''}${seconds}`;
}

/**
 * @returns the text of Go's time.Time: `2006-01-02 15:04:05.5 +0000 UTC`
 * @param text RFC 3339
 */
function timeText(text: string): string {
  const [, date, clock, fraction = '', zone = 'Z'] =
    /^(\d+-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  if (date === undefined) return text;
  const offset = zone.replace(':', '');
  return `${date} ${clock}${fraction.replace(/\.?0+$/, '')} ${zone === 'Z' ? '+0000 UTC' : `${offset} ${offset.replace(/00$/, '')}`}`;
}

const ZERO_TIME = '0001-01-01T00:00:00Z';

/** A struct in Go that is a string in JSON; a missing time is in the year 1. */
export const TIME: GoType = named('string', 'time.Time', { text: timeText, zero: ZERO_TIME });
export const DURATION = named('int', 'time.Duration', { text: durationText });
export const STR_SLICE = slice(string, 'strslice.StrSlice');

export const PORT = named('string', 'nat.Port', {
  methods: {
    Proto: (json: string) => json.split('/')[1] ?? 'tcp',
    Port: (json: string) => json.split('/')[0],
    Int: (json: string) => Number.parseInt(json, 10) || 0,
  },
});

const containerOf = (mode: string): string => joinedContainer(mode) ?? '';
const isContainer = (mode: string): boolean => joinedContainer(mode) !== undefined;
const isUserDefined = (mode: string): boolean =>
  !['default', 'bridge', 'host', 'none'].includes(mode) && !isContainer(mode);
const is =
  (...values: string[]) =>
  (mode: string): boolean =>
    values.includes(mode);
const isNot =
  (...values: string[]) =>
  (mode: string): boolean =>
    !values.includes(mode);

export const NETWORK_MODE = named('string', 'container.NetworkMode', {
  methods: {
    ConnectedContainer: containerOf,
    IsBridge: is('bridge'),
    IsContainer: isContainer,
    IsDefault: is('default'),
    IsHost: is('host'),
    IsNone: is('none'),
    IsPrivate: (mode: string) => mode !== 'host' && !isContainer(mode),
    IsUserDefined: isUserDefined,
    NetworkName: (mode: string) => (isContainer(mode) ? 'container' : mode),
    UserDefined: (mode: string) => (isUserDefined(mode) ? mode : ''),
  },
});
export const IPC_MODE = named('string', 'container.IpcMode', {
  methods: {
    Container: containerOf,
    IsContainer: (mode: string) => containerOf(mode) !== '',
    IsEmpty: is(''),
    IsHost: is('host'),
    IsNone: is('none'),
    IsPrivate: is('private'),
    IsShareable: is('shareable'),
    Valid: (mode: string) => ['', 'host', 'none', 'private', 'shareable'].includes(mode) || containerOf(mode) !== '',
  },
});
export const PID_MODE = named('string', 'container.PidMode', {
  methods: {
    Container: containerOf,
    IsContainer: (mode: string) => containerOf(mode) !== '',
    IsHost: is('host'),
    IsPrivate: (mode: string) => mode !== 'host' && containerOf(mode) === '',
    Valid: (mode: string) => ['', 'host'].includes(mode) || containerOf(mode) !== '',
  },
});
export const UTS_MODE = named('string', 'container.UTSMode', {
  methods: { IsHost: is('host'), IsPrivate: isNot('host'), Valid: is('', 'host') },
});
export const USERNS_MODE = named('string', 'container.UsernsMode', {
  methods: { IsHost: is('host'), IsPrivate: isNot('host'), Valid: is('', 'host') },
});
export const CGROUPNS_MODE = named('string', 'container.CgroupnsMode', {
  methods: { IsEmpty: is(''), IsHost: is('host'), IsPrivate: is('private'), Valid: is('', 'host', 'private') },
});
export const CGROUP_SPEC = named('string', 'container.CgroupSpec', {
  methods: {
    Container: containerOf,
    IsContainer: isContainer,
    Valid: (mode: string) => mode === '' || isContainer(mode),
  },
});
export const ISOLATION = named('string', 'container.Isolation', {
  methods: { IsDefault: is('', 'default'), IsHyperV: is('hyperv'), IsProcess: is('process') },
});

const RESTART_NAME = named('string', 'container.RestartPolicyMode');
type Policy = { Name?: string } | undefined;
const restarts =
  (...names: string[]) =>
  (policy: Policy): boolean =>
    names.includes(policy?.Name ?? '');
export const RESTART_POLICY = struct(
  'container.RestartPolicy',
  { Name: RESTART_NAME, MaximumRetryCount: int },
  {
    methods: {
      IsAlways: restarts('always'),
      IsNone: restarts('no', ''),
      IsOnFailure: restarts('on-failure'),
      IsUnlessStopped: restarts('unless-stopped'),
    },
  },
);

/** Permissions of io/fs.FileMode: `-rw-r--r--`. */
export const FILE_MODE = named('int', 'fs.FileMode', {
  text: (mode: number) =>
    `-${[...'rwxrwxrwx'].map((letter, index) => (mode & (0o400 >> index) ? letter : '-')).join('')}`,
});
