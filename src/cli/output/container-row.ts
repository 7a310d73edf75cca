/** One container as `ps` shows it: every column a `--format` can name. Pure. */
import type { Container } from '../../engine/contract.ts';
import { reachablePorts } from '../../engine/create/ports.ts';
import { ellipsis } from './table.ts';
import { ago, goLocalTime, humanDuration, humanSize } from './units.ts';
import { displayPorts } from '../../notation/ports.ts';

export interface RowOptions {
  truncate: boolean;
  now: number;
}

/** characters of the COMMAND column; docker/cli formatter */
const COMMAND_WIDTH = 20;
/** characters an id has where it is cut: docker stringid */
const SHORT_ID = 12;

export const CONTAINER_HEADERS: Record<string, string> = {
  ID: 'CONTAINER ID',
  Names: 'NAMES',
  Image: 'IMAGE',
  Command: 'COMMAND',
  CreatedAt: 'CREATED AT',
  RunningFor: 'CREATED',
  Ports: 'PORTS',
  State: 'STATE',
  Status: 'STATUS',
  Size: 'SIZE',
  Labels: 'LABELS',
  Mounts: 'MOUNTS',
  LocalVolumes: 'LOCAL VOLUMES',
  Networks: 'NETWORKS',
  Isolation: 'ISOLATION',
  Platform: 'PLATFORM',
  HealthStatus: 'HEALTH',
};

/** `a=b,c=d`, by key: the same on every run */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.keys(labels)
    .sort()
    .map((key) => `${key}=${labels[key]}`)
    .join(',');
}

export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, SHORT_ID);
}

/** Go time text → ms; NaN for the zero time */
function parseTime(text: string): number {
  return text.startsWith('0001-') ? Number.NaN : Date.parse(text);
}

/** `Up 3 seconds`, `Exited (0) 5 minutes ago`, `Created` … */
export function statusText(container: Container, now: number): string {
  const { state } = container;
  const up = humanDuration(Math.max(0, now - parseTime(state.startedAt)));
  const ended = ago(parseTime(state.finishedAt), now);
  switch (state.status) {
    case 'running': {
      const health = state.health?.status;
      return health === undefined ? `Up ${up}` : `Up ${up} (${health === 'starting' ? 'health: starting' : health})`;
    }
    case 'paused':
      return `Up ${up} (Paused)`;
    case 'restarting':
      return `Restarting (${state.exitCode}) ${ended}`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
    case 'created':
      return 'Created';
    case 'exited':
      return Number.isNaN(parseTime(state.finishedAt)) ? 'Created' : `Exited (${state.exitCode}) ${ended}`;
  }
}

export function containerRow(
  container: Container & { size?: { rw: number; rootFs: number } },
  options: RowOptions,
): Record<string, unknown> {
  const { config } = container;
  // as Docker's daemon shows it: quotes around what has a space, nothing escaped
  const command = [config.path, ...config.args.map((word) => (word.includes(' ') ? `'${word}'` : word))].join(' ');
  const mounts = config.mounts
    .map((mount) => mount.name ?? mount.source)
    .map((name) => (options.truncate ? ellipsis(name, 15) : name));
  return {
    Command: JSON.stringify(options.truncate ? ellipsis(command, COMMAND_WIDTH) : command),
    CreatedAt: goLocalTime(container.createdAt),
    HealthStatus: container.state.health?.status ?? '',
    ID: options.truncate ? shortId(container.id) : container.id,
    Image: imageText(config.image, config.imageId, options.truncate),
    Isolation: config.isolation,
    Label: (name: string) => (Object.hasOwn(config.labels, name) ? config.labels[name]! : ''),
    Labels: labelsText(config.labels),
    LocalVolumes: String(config.mounts.filter((mount) => mount.type === 'volume').length),
    Mounts: mounts.join(','),
    Names: container.name,
    Networks: config.options.network === 'default' ? 'bridge' : config.options.network,
    Platform: config.options.platform ?? '',
    Ports: displayPorts(reachablePorts(container)),
    RunningFor: ago(container.createdAt, options.now),
    Size:
      container.size === undefined
        ? '0B'
        : `${humanSize(container.size.rw, 3)} (virtual ${humanSize(container.size.rootFs, 3)})`,
    State: container.state.status,
    Status: statusText(container, options.now),
  };
}

/** As typed; an image named by its id is cut like one. */
function imageText(image: string, imageId: string, truncate: boolean): string {
  if (image === '') return '<no image>';
  const id = imageId.replace(/^sha256:/, '');
  return truncate && (image === imageId || image === id) ? shortId(image) : image;
}
