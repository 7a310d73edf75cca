/** One container as `ps` shows it: every column that a `--format` can name. The functions are pure. */
import type { Container } from '../../engine/contract.ts';
import { reachablePorts } from '../../engine/create/ports.ts';
import { commandText, statusText } from '../../engine/look/summary-words.ts';
import { ellipsis } from './table.ts';
import { goLocalTime, humanSize } from './units.ts';
import { ago } from '../../notation/elapsed.ts';
import { displayPorts } from '../../notation/ports.ts';

export interface RowOptions {
  truncate: boolean;
  now: number;
}

/** width in characters of the COMMAND column, docker/cli formatter */
const COMMAND_WIDTH = 20;
/** characters of a short id, docker stringid */
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

/** @returns labels as `a=b,c=d`, sorted by key, so that every run prints the same */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.keys(labels)
    .sort()
    .map((key) => `${key}=${labels[key]}`)
    .join(',');
}

export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, SHORT_ID);
}

export function containerRow(
  container: Container & { size?: { rw: number; rootFs: number } },
  options: RowOptions,
): Record<string, unknown> {
  const { config } = container;
  const command = commandText(config);
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
    Networks: networksText(container),
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

/** @returns the networks of the container; where it shares another's network, the mode that names that one */
function networksText({ networks = [], config }: Container): string {
  if (networks.length > 0) return networks.join(',');
  return config.options.network === 'default' ? 'bridge' : config.options.network;
}

/** @returns the image as typed; an image that was named by its id is shortened like an id */
function imageText(image: string, imageId: string, truncate: boolean): string {
  if (image === '') return '<no image>';
  const id = imageId.replace(/^sha256:/, '');
  return truncate && (image === imageId || image === id) ? shortId(image) : image;
}
