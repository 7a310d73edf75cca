/** `husk port`: addresses and ports of the host at which a container's ports are published. */
import { isIPv6 } from 'node:net';
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { naturalOrder } from '../../notation/natural-order.ts';
import { parseUint16 } from '../../notation/scalars.ts';

type Bindings = Record<string, { HostIp: string; HostPort: string }[] | null>;

export async function run({ arguments: [name = '', asked], context }: Invocation): Promise<number> {
  const engine = await context.engine();
  const { NetworkSettings } = (await engine.inspect(name)) as { NetworkSettings: { Ports: Bindings } };
  const ports = NetworkSettings.Ports ?? {};
  const lines =
    asked === undefined
      ? Object.entries(ports).flatMap(([port, bindings]) => places(bindings).map((place) => `${port} -> ${place}`))
      : places(ports[withProtocol(asked)] ?? null);
  if (asked !== undefined && lines.length === 0)
    throw new HuskError(`No public port '${asked}' published for ${name}`, { kind: 'not-found' });
  for (const line of lines.sort(naturalOrder)) context.stdout.write(`${line}\n`);
  return 0;
}

function places(bindings: Bindings[string]): string[] {
  return (bindings ?? []).map(({ HostIp, HostPort }) => `${isIPv6(HostIp) ? `[${HostIp}]` : HostIp}:${HostPort}`);
}

function withProtocol(text: string): string {
  const [port = '', protocol = 'tcp'] = text.split('/');
  try {
    parseUint16(port);
  } catch (error) {
    throw new HuskError(`invalid port (${port}): ${(error as Error).message}`, { kind: 'invalid' });
  }
  return `${port}/${protocol}`;
}
